"""The metric of detectors: detections of every image, then average precision by COCO's or VOC's rules.

What is kept of an image is its detections, at most a hundred rows of seven numbers, never its raw
maps; so metrics at many time steps live side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.detection.average_precision import (
    Boxes,
    CocoScores,
    Matches,
    VocScores,
    coco_scores,
    voc_scores,
)
from lightning_modules.detection.postprocess import PostProcessing, detect, in_stored_pixels
from lightning_modules.metrics import TaskMetric, restore_test_order

Decode = Callable[[Any, tuple[int, int]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DetectionOutcomes:
    """What intervals are computed from: see `Matches`, and how precision is averaged."""

    matches: Matches
    interpolation: str  # "101-point" or "all-point"

    def __len__(self) -> int:
        return len(self.matches.objects)


class DetectionMetric(TaskMetric):
    """Average precision of a detector.

    `compute` returns, as fractions in [0, 1], means over the classes that occur in the test set:

    - "map" (COCO's mAP@[.50:.95]), "map50" (COCO's mAP@.50), by pycocotools;
    - with scoring "voc" also "voc_map50" (all-point) and "voc07_map50" (11-point);
    - the ranking metric's average precision of each class, e.g. "map/cat".

    The ranking metric is COCO's "map", or with scoring "voc" VOC's "voc_map50". Crowds count for nothing
    under COCO's rules, difficult objects under VOC's; each rule takes the other's mark for an ordinary
    object.

    Args:
        decode: raw maps and (height, width) of the input -> boxes [B, N, 4], scores [B, N, K].
        classes: names.
        scoring: "coco" or "voc".
        postprocessing: from candidates to detections.
        images: number of test images; needed to drop the repeats of distributed testing.
        **kwargs: options of `torchmetrics.Metric`.
    """

    found: list[Tensor]
    truth: list[Tensor]
    seen: list[Tensor]

    def __init__(
        self,
        decode: Decode,
        classes: Sequence[str],
        scoring: str = "coco",
        postprocessing: PostProcessing | None = None,
        images: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if scoring not in ("coco", "voc"):
            raise ValueError(f"scoring must be coco or voc, got {scoring!r}")
        self.decode = decode
        self.classes = tuple(classes)
        self.scoring = scoring
        self.postprocessing = postprocessing or PostProcessing()
        self.images = images
        self.primary = "voc_map50" if scoring == "voc" else "map"
        for name in ("found", "truth", "seen"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, output: Any, target: Sequence[Mapping[str, Any]], reference: Any | None = None) -> None:
        """Decode and keep the detections of one batch.

        Args:
            output: raw maps, for B images.
            target: of each image "true_boxes" [M, 4], "true_labels", "true_areas", "crowd" and "difficult"
                [M] in stored pixels, "letterbox" [6], "index" [] (different for every image), and
                "input_size" [2], height and width.
            reference: not used.
        """
        if not target:
            return
        height, width = target[0]["input_size"]
        boxes, scores = self.decode(output, (int(height), int(width)))
        if len(boxes) != len(target) or scores.shape[-1] != len(self.classes):
            raise ValueError(
                f"{len(target)} targets and {len(self.classes)} classes, but scores {list(scores.shape)}"
            )
        for one, detections in zip(target, detect(boxes, scores, self.postprocessing), strict=True):
            self.add(one, *detections)

    def add(self, target: Mapping[str, Any], boxes: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Keep the detections of one image: boxes [D, 4] in input pixels, scores [D], labels [D]."""
        index = target["index"].to(self.device).double().reshape(1)
        columns = [
            index.expand(len(boxes))[:, None],
            labels[:, None],
            scores[:, None],
            in_stored_pixels(boxes, target["letterbox"]),
        ]
        self.found.append(torch.cat([column.to(self.device, torch.float64) for column in columns], 1))
        true = [target[f"true_{name}"] for name in ("labels", "areas", "boxes")]
        marks = [target["crowd"][:, None], target["difficult"][:, None]]
        columns = [index.expand(len(true[0]))[:, None], true[0][:, None], true[1][:, None], *marks, true[2]]
        self.truth.append(torch.cat([column.to(self.device, torch.float64) for column in columns], 1))
        self.seen.append(index)

    def compute(self) -> dict[str, float]:
        """Return the scores over all test images; see the class.

        Raises:
            ValueError: no batch was added, or distributed results do not fit ``images``.
        """
        coco, voc = self._scores()
        scores = {"map": coco.map, "map50": coco.map50}
        by_class = coco.precision.mean(1)
        if voc is not None:
            scores |= {"voc_map50": voc.map50, "voc07_map50": voc.map50_11point}
            by_class = voc.all_point
        for name, value in zip(self.classes, by_class, strict=True):
            if not np.isnan(value):
                scores[f"{self.primary}/{name}"] = float(value)
        return scores

    def outcomes(self) -> DetectionOutcomes:
        """Return what became of every detection, and how many objects each image has."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        ):
            coco, voc = self._scores()
        if voc is not None:
            return DetectionOutcomes(voc.matches, "all-point")
        return DetectionOutcomes(coco.matches, "101-point")

    def detections(self) -> dict[int, Boxes]:
        """Detections of each image by its index, in stored pixels."""
        order, found, _ = self._by_image()
        return {int(index): _detections(rows) for index, rows in zip(order, found, strict=True)}

    def _scores(self) -> tuple[CocoScores, VocScores | None]:
        _, found, truth = self._by_image()
        guessed = [_detections(rows) for rows in found]
        coco = coco_scores([_objects(rows, column=3) for rows in truth], guessed, len(self.classes))
        if self.scoring == "coco":
            return coco, None
        return coco, voc_scores([_objects(rows, column=4) for rows in truth], guessed, len(self.classes))

    def _by_image(self) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Indices of the images in test order, and the rows of detections and of objects of each."""
        if not len(self.seen):
            raise ValueError("no images yet: update() the metric with at least one batch")
        ranks = torch.distributed.get_world_size() if self._is_synced else 1
        seen = dim_zero_cat(self.seen)
        order = restore_test_order(seen, ranks, self.images).cpu().numpy()
        dealt = dict(zip(*np.unique(seen.cpu().numpy(), return_counts=True), strict=True))
        found, truth = (
            _grouped(dim_zero_cat(rows).cpu().numpy(), order) for rows in (self.found, self.truth)
        )
        # An image that distributed testing deals twice brings its rows twice, one after the other.
        once = [
            [rows[: len(rows) // dealt[i]] for i, rows in zip(order, each, strict=True)]
            for each in (found, truth)
        ]
        return order, once[0], once[1]


def _grouped(rows: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Rows of each image, which their first column names, in their own order."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = np.searchsorted(rows[:, 0], order, side="left")
    ends = np.searchsorted(rows[:, 0], order, side="right")
    return [rows[start:end] for start, end in zip(starts, ends, strict=True)]


def _detections(rows: np.ndarray) -> Boxes:
    order = np.argsort(-rows[:, 2], kind="mergesort")
    rows = rows[order]
    return Boxes(rows[:, 3:7], rows[:, 1].astype(np.int64), scores=rows[:, 2])


def _objects(rows: np.ndarray, column: int) -> Boxes:
    return Boxes(
        rows[:, 5:9], rows[:, 1].astype(np.int64), areas=rows[:, 2], ignored=rows[:, column].astype(bool)
    )
