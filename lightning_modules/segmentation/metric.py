"""The metric of segmentation networks: mean intersection over union, pooled over the test set.

What is kept of an image are counts of pixels, never its logits or its label map, so metrics at many time
steps live side by side, and test sets with resampled images can be scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.metrics import TaskMetric, kl_divergence, restore_test_order
from lightning_modules.networks.segmentation.base import to_label

IGNORE = 255  # in label maps: pixels that do not count


@dataclass(frozen=True)
class SegmentationOutcomes:
    """Pixels of each image and class: all that intersection over union depends on."""

    correct: npt.NDArray[np.int64]  # [N, K]: of the class, and found as such
    found: npt.NDArray[np.int64]  # [N, K]: found as the class; pixels that do not count left out
    true: npt.NDArray[np.int64]  # [N, K]: of the class

    def __len__(self) -> int:
        return len(self.true)


class SegmentationMetric(TaskMetric):
    """Intersection over union of label maps at the labels' own size.

    `compute` returns, as fractions in [0, 1]:

    - "miou": for each class the pixels that are rightly of it, by those that are of it or found as it,
      both summed over the whole test set (the convention of Pascal VOC and Cityscapes, not a mean over
      images); then the mean over the classes that occur in the ground truth. A class that does not occur
      counts neither as 0 nor as 1; what is taken for it is missing from the true classes.
    - "pixel_accuracy": share of the pixels that are right.
    - "miou/<class>": the same of each class that occurs.
    - with a reference "kl", the mean of KL(softmax(reference) || softmax(output)) in nats over the
      locations of the network's own output and over images, and "agreement", the share of scored pixels
      with the same most likely class.

    Equal logits count in favour of the lower class. A location with a NaN is of no class.

    Args:
        classes: names.
        images: number of test images; needed to drop the repeats of distributed testing.
        **kwargs: options of `torchmetrics.Metric`.
    """

    primary = "miou"

    counts: list[Tensor]
    kl: list[Tensor]
    agreement: list[Tensor]

    def __init__(self, classes: Sequence[str], images: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = tuple(classes)
        self.images = images
        for name in ("counts", "kl", "agreement"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self, output: Tensor, target: Sequence[Mapping[str, Any]], reference: Tensor | None = None
    ) -> None:
        """Count the pixels of one batch; one image at a time is resized to its label map.

        Args:
            output: logits [B, K, h, w] over the network's input.
            target: of each image "labels" [H, W], "letterbox" [6] and "input_size" [2]; see `to_label`.
            reference: logits [B, K, h, w] of the original network; in every batch or in none.

        Raises:
            ValueError: shapes do not match, or the reference comes and goes.
        """
        expected = (len(target), len(self.classes))
        for name, logits in (("output", output), ("reference", reference)):
            if logits is not None and logits.shape[:2] != expected:
                raise ValueError(f"{name} must be {list(expected)} x h x w, got {list(logits.shape)}")
        if len(self.counts) and bool(len(self.kl)) != (reference is not None):
            raise ValueError("a reference must be given in every batch or in none; reset() between runs")
        output = output.detach().float()
        if reference is not None:
            reference = reference.detach().float()
            self.kl.append(kl_divergence(reference, output).mean((1, 2)))
        for row, one in enumerate(target):
            found = label_map(output[row], one)
            labels = one["labels"].to(found.device).long()
            self.counts.append(_counts(found, labels, len(self.classes))[None])
            if reference is not None:
                scored = labels != IGNORE
                same = (label_map(reference[row], one) == found)[scored].sum()
                self.agreement.append(torch.stack([same, scored.sum()]).double()[None])

    def compute(self) -> dict[str, float]:
        """Return the scores over all test images; see the class.

        Raises:
            ValueError: no batch was added, or distributed results do not fit ``images``.
        """
        pixels = self._outcomes()
        correct, found, true = (part.sum(0) for part in (pixels.correct, pixels.found, pixels.true))
        occurs = true > 0
        overlap = correct[occurs] / (found + true - correct)[occurs]
        scores = {
            "miou": float(overlap.mean()) if occurs.any() else 0.0,
            "pixel_accuracy": float(correct.sum() / max(true.sum(), 1)),
        }
        if len(self.kl):
            scores["kl"] = self._in_test_order(self.kl).double().mean().item()
            same, scored = self._in_test_order(self.agreement).sum(0).tolist()
            scores["agreement"] = same / max(scored, 1)
        named = [name for name, here in zip(self.classes, occurs, strict=True) if here]
        return scores | {f"miou/{name}": float(v) for name, v in zip(named, overlap, strict=True)}

    def outcomes(self) -> SegmentationOutcomes:
        """Return the counts of every image, in test order."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        ):
            return self._outcomes()

    def _outcomes(self) -> SegmentationOutcomes:
        if not len(self.counts):
            raise ValueError("no images yet: update() the metric with at least one batch")
        counts = self._in_test_order(self.counts).cpu().numpy()
        return SegmentationOutcomes(counts[:, 0], counts[:, 1], counts[:, 2])

    def _in_test_order(self, values: Tensor | list[Tensor]) -> Tensor:
        gathered = dim_zero_cat(values)
        ranks = torch.distributed.get_world_size() if self._is_synced else 1
        order = restore_test_order(torch.arange(len(gathered)), ranks, self.images)
        return gathered[order.to(gathered.device)]


def label_map(logits: Tensor, target: Mapping[str, Any]) -> Tensor:
    """Most likely class of every pixel of the stored image: [H, W] int64; K where it is NaN."""
    height, width = target["input_size"].tolist()
    resized = to_label(logits, target["letterbox"], (height, width), target["labels"].shape)
    return torch.where(resized.isnan().any(0), len(resized), resized.argmax(0))


def _counts(found: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Correct, found and true pixels of each class: [3, K] int64."""
    scored = labels != IGNORE
    found, labels = found[scored], labels[scored]
    rows = (labels[found == labels], found, labels)
    return torch.stack([torch.bincount(row, minlength=classes + 1)[:classes] for row in rows])
