"""What every detector offers: raw maps from images, boxes from raw maps, a loss on raw maps.

The forward pass is what is converted to spikes; it ends at raw maps, because what follows (sigmoid,
box decoding, non-maximum suppression) is not affine and is applied to the time-averaged maps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

RawMaps = Sequence[Tensor]  # one [B, *, H_l, W_l] per level
Target = Mapping[str, Any]  # "boxes" [N, 4] in input pixels, "labels" [N]


@dataclass(frozen=True)
class LossOptions:
    """How raw maps are compared with boxes."""

    assignment: Literal["task-aligned", "centre"] = "task-aligned"
    class_loss: Literal["bce", "focal"] = "bce"
    box_loss: Literal["ciou", "giou"] = "ciou"
    box_weight: float = 2.5  # against classification and objectness


class Detector(nn.Module, ABC):
    """Base of detectors; `forward` maps images [B, C, H, W] to raw maps."""

    num_classes: int

    @abstractmethod
    def decode(self, raw: RawMaps, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Turn raw maps into candidates.

        Args:
            raw: what `forward` returned, or its average over time.
            image_size: (height, width) of the input.

        Returns:
            Boxes [B, N, 4] (x1, y1, x2, y2) in input pixels, and scores [B, N, K] in [0, 1].
        """

    @abstractmethod
    def losses(
        self,
        raw: RawMaps,
        targets: Sequence[Target],
        image_size: tuple[int, int],
        options: LossOptions,
    ) -> dict[str, Tensor]:
        """Return the parts of the training loss by name, to be added up."""
