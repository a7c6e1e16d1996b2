"""Random views of images with label maps, on torchvision's tv_tensors.

Testing needs no more than `datamodules.detection.transforms.Letterbox`: the label map keeps its size, and
logits are resized to it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from datamodules.detection.transforms import GREY
from datamodules.segmentation.labels import IGNORE
from datamodules.transforms import colour_jitter


class SegmentationTransform:
    """Scale jitter, random crop, flip, photometric distortion.

    Labels are resized by their nearest neighbour; what a crop shows beyond the image is grey, and ignored.

    Args:
        size: (height, width) of the result.
        scales: range of the scale jitter; 1 fits the image into the result.
        horizontal_flip: mirror left-right half of the time.
        photometric: strength of the colour jitter; 0 for none.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: tuple[float, float],
        horizontal_flip: bool,
        photometric: float,
    ) -> None:
        steps: list[torch.nn.Module] = [
            v2.ScaleJitter(size, scale_range=scales, antialias=True),
            v2.RandomCrop(
                size, pad_if_needed=True, fill={tv_tensors.Image: GREY, tv_tensors.Mask: IGNORE, "others": 0}
            ),
        ]
        if horizontal_flip:
            steps.append(v2.RandomHorizontalFlip())
        if photometric:
            steps.append(colour_jitter(photometric))
        self._steps = v2.Compose(steps)

    def __call__(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a uint8 image [C, H, W] with labels [H, W]; draws from torch's generator.

        Returns:
            Image [C, *size] uint8 and labels [*size] uint8.
        """
        view, seen = self._steps(tv_tensors.Image(image), tv_tensors.Mask(labels))
        return view.as_subclass(Tensor), seen.as_subclass(Tensor)
