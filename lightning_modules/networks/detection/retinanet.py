"""torchvision's RetinaNet with a ResNet-50 and a feature pyramid, cut at its raw maps.

Backbone and heads are torchvision's own modules under their own names, so its weights and files of
them load unchanged. Left out are its transform (data modules normalise and letterbox) and its
post-processing (the same for all detectors here). With torchvision's COCO weights the classes are COCO's 91
official ids, of which 80 are used and the first is none; `categories` maps them to the data's labels.

A level's raw map is [B, A * K' + A * 4, H, W]: class logits of A = 9 anchors, then their box offsets.

Source: Lin et al. 2017, arXiv 1708.02002.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights as Weights
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from lightning_modules.networks.detection.base import Detector, LossOptions, RawMaps, Target
from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.weights import load_weights

CATEGORIES: list[str] = Weights.COCO_V1.meta["categories"]  # at COCO's official ids, with their gaps


@dataclass(frozen=True)
class RetinaNetOptions:
    """Options of `RetinaNet`."""

    weights: str | None = None  # "COCO_V1" (downloaded once), a file of torchvision's form, or none
    trainable_layers: int = 3  # of the backbone, counted from its end, 0 to 5

    def __post_init__(self) -> None:
        if self.weights is not None and (not isinstance(self.weights, str) or not self.weights):
            raise NetworkError(f"weights must be a name, a file or nothing, got {self.weights!r}")
        if type(self.trainable_layers) is not int or not 0 <= self.trainable_layers <= 5:
            raise NetworkError(f"trainable_layers must be 0 to 5, got {self.trainable_layers!r}")


class RetinaNet(Detector):
    """The detector; images [B, 3, H, W], normalised with ImageNet's mean and deviation.

    Args:
        num_classes: K.
        in_channels: must be 3.
        options: where weights come from.

    Raises:
        NetworkError: channels or classes do not fit, or no such weights.
        CheckpointError: a local file does not fit.
    """

    def __init__(self, num_classes: int, in_channels: int, options: RetinaNetOptions) -> None:
        super().__init__()
        if in_channels != 3:
            raise NetworkError(f"retinanet takes images of 3 channels, the data has {in_channels}")
        self.num_classes = num_classes
        named = options.weights in Weights.__members__
        official = [id_ for id_, name in enumerate(CATEGORIES) if name not in ("__background__", "N/A")]
        if named and num_classes != len(official):
            raise NetworkError(
                f"weights {options.weights} know {len(official)} classes, the data has {num_classes};"
                " leave the option weights out and train"
            )
        coco = options.weights is not None and num_classes == len(official)
        self.categories = official if coco else list(range(num_classes))
        outputs = len(CATEGORIES) if coco else num_classes
        whole = _whole(outputs, Weights[str(options.weights)] if named else None, options.trainable_layers)
        self.backbone, self.head = whole.backbone, whole.head
        self._anchors, self._coder = [whole.anchor_generator], whole.box_coder
        self._matcher = whole.proposal_matcher
        if options.weights is not None and not named:
            if not os.path.isfile(options.weights):
                raise NetworkError(f"weights {options.weights!r} are neither a file nor COCO_V1")
            load_weights(self, Path(options.weights))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images to raw maps, finest first."""
        classifier, regressor = self.head.classification_head, self.head.regression_head
        maps = []
        for features in self.backbone(images).values():
            classes = classifier.cls_logits(classifier.conv(features))
            maps.append(torch.cat([classes, regressor.bbox_reg(regressor.conv(features))], 1))
        return tuple(maps)

    def decode(self, raw: RawMaps, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """See `Detector.decode`."""
        classes, offsets = self._rows(raw)
        anchors = self._anchors_of(raw, image_size)
        boxes = torch.stack([self._coder.decode_single(one, anchors) for one in offsets.float()])
        return boxes, classes[..., self.categories].float().sigmoid()

    def losses(
        self,
        raw: RawMaps,
        targets: Sequence[Target],
        image_size: tuple[int, int],
        options: LossOptions,
    ) -> dict[str, Tensor]:
        """torchvision's focal and L1 loss on anchors; `options` do not apply to a detector with anchors."""
        classes, offsets = self._rows(raw)
        anchors = self._anchors_of(raw, image_size)
        official = torch.tensor(self.categories, device=classes.device)
        goals: list[dict[str, Any]] = [
            {"boxes": one["boxes"].float(), "labels": official[one["labels"]]} for one in targets
        ]
        matched = [self._match(anchors, goal["boxes"]) for goal in goals]
        outputs = {"cls_logits": classes, "bbox_regression": offsets}
        found: dict[str, Tensor] = self.head.compute_loss(goals, outputs, [anchors] * len(goals), matched)
        return found

    def _match(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Object of each anchor [P], negative for background."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matched: Tensor = self._matcher(box_iou(boxes, anchors))
        return matched

    def _rows(self, raw: RawMaps) -> tuple[Tensor, Tensor]:
        """Class logits [B, P, K'] and box offsets [B, P, 4] of all anchors, in torchvision's order."""
        count = self.head.classification_head.num_anchors
        outputs = self.head.classification_head.num_classes
        rows: tuple[list[Tensor], list[Tensor]] = ([], [])
        for level in raw:
            parts = level.split([count * outputs, count * 4], 1)
            for part, width, kept in zip(parts, (outputs, 4), rows, strict=True):
                shaped = part.unflatten(1, (count, width)).permute(0, 3, 4, 1, 2)
                kept.append(shaped.flatten(1, 3))
        return torch.cat(rows[0], 1), torch.cat(rows[1], 1)

    def _anchors_of(self, raw: RawMaps, image_size: tuple[int, int]) -> Tensor:
        blank = raw[0].new_empty((1, 3, *image_size), dtype=torch.float32)
        anchors: Tensor = self._anchors[0](ImageList(blank, [image_size]), list(raw))[0]
        return anchors


def _whole(outputs: int, weights: Any, trainable_layers: int) -> Any:
    """The network as torchvision builds it, which freezes its batch norms where it is given weights."""
    try:
        return detection.retinanet_resnet50_fpn(
            weights=weights,
            weights_backbone=None,
            num_classes=None if weights else outputs,
            trainable_backbone_layers=trainable_layers if weights else None,
        )
    except (OSError, RuntimeError) as error:  # no network; checksum wrong
        raise NetworkError(
            f"weights {weights} of retinanet_resnet50_fpn cannot be downloaded ({error}); download"
            f" {weights.url} where there is a connection and give the file's path as weights"
        ) from error
