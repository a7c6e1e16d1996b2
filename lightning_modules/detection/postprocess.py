"""From candidates to detections: score threshold, non-maximum suppression, a largest number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms


@dataclass(frozen=True)
class PostProcessing:
    """Settings that hold for the ANN and its spiking twins alike."""

    score_threshold: float = 0.01  # candidates below it are not even suppressed
    nms_iou: float = 0.6  # a candidate that overlaps a better one of its class by more goes
    candidates: int = 1000  # best ones that enter suppression
    detections: int = 100  # best ones that leave it; what COCO scores at most

    def __call__(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the detections of one image.

        Args:
            boxes: [N, 4].
            scores: [N, K]; every class of a candidate is judged by itself. NaN counts as 0.

        Returns:
            Boxes [D, 4], scores [D], labels [D], best first.
        """
        scores = scores.nan_to_num(0.0)
        boxes = boxes.nan_to_num(0.0, posinf=1e6, neginf=-1e6)
        flat = scores.flatten()
        kept = (flat > self.score_threshold).nonzero()[:, 0]
        if len(kept) > self.candidates:
            kept = kept[flat[kept].topk(self.candidates).indices]
        chosen, labels = kept // scores.shape[1], kept % scores.shape[1]
        order = batched_nms(boxes[chosen], flat[kept], labels, self.nms_iou)[: self.detections]
        return boxes[chosen][order], flat[kept][order], labels[order]


def detect(boxes: Tensor, scores: Tensor, settings: PostProcessing) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Detections of every image of a batch: boxes [B, N, 4], scores [B, N, K]; see `PostProcessing`."""
    with torch.no_grad():
        return [settings(box, score) for box, score in zip(boxes, scores, strict=True)]


def in_stored_pixels(boxes: Tensor, letterbox: Tensor) -> Tensor:
    """Map boxes from input pixels to pixels of the stored image, clipped to it.

    Args:
        boxes: [N, 4] as x1, y1, x2, y2.
        letterbox: [6], where the image lies in the input: scale x and y (input pixels per stored pixel),
            offset x and y (input pixels), width and height of the stored image.

    Returns:
        Boxes [N, 4], float64.
    """
    scale, offset, size = letterbox.to(boxes.device, torch.float64).view(3, 2).repeat(1, 2)
    clipped: Tensor = ((boxes.double() - offset) / scale).clamp(min=torch.zeros_like(size), max=size)
    return clipped
