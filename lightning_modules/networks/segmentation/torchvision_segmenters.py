"""torchvision's FCN and DeepLabv3 on ResNet-50: its backbone and heads, its weights, our seam.

Left out is the last resizing to the image (see `base`), and the auxiliary head wherever training is over.
torchvision's weights know VOC's 21 classes.

Sources: Long et al. 2015, arXiv 1411.4038; Chen et al. 2017, arXiv 1706.05587.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torchvision import models

from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.segmentation.base import Segmenter
from lightning_modules.networks.weights import load_weights

NAMES = ("fcn_resnet50", "deeplabv3_resnet50")


@dataclass(frozen=True)
class TorchvisionSegmenterOptions:
    """Options of torchvision's segmentation networks."""

    weights: str | None = None  # "COCO_WITH_VOC_LABELS_V1" (downloaded once), a file, or none

    def __post_init__(self) -> None:
        if self.weights is not None and (not isinstance(self.weights, str) or not self.weights):
            raise NetworkError(f"weights must be a name, a file or nothing, got {self.weights!r}")


class TorchvisionSegmenter(Segmenter):
    """One of `NAMES`; images [B, 3, H, W], normalised with ImageNet's mean and deviation; logits of stride 8.

    State dicts have torchvision's own keys.

    Args:
        name: torchvision's own name.
        num_classes: K.
        in_channels: must be 3.
        options: where weights come from.

    Raises:
        NetworkError: channels or classes do not fit, no such weights, or a failed download.
        CheckpointError: a local file does not fit.
    """

    def __init__(
        self, name: str, num_classes: int, in_channels: int, options: TorchvisionSegmenterOptions
    ) -> None:
        super().__init__()
        if in_channels != 3:
            raise NetworkError(f"{name!r} takes images of 3 channels, the data has {in_channels}")
        self.num_classes = num_classes
        known = models.get_model_weights(name).__members__
        named = known.get(options.weights or "")
        if named is not None and len(named.meta["categories"]) != num_classes:
            known_classes = len(named.meta["categories"])
            raise NetworkError(
                f"weights {options.weights} of {name!r} know {known_classes} classes, the data has"
                f" {num_classes}; leave the option weights out and train"
            )
        try:
            whole = models.get_model(
                name, weights=named, weights_backbone=None, num_classes=num_classes, aux_loss=True
            )
        except (OSError, RuntimeError) as error:  # no network; checksum wrong
            raise NetworkError(
                f"weights {options.weights} of {name!r} cannot be downloaded ({error}); download"
                f" {named and named.url} where there is a connection and give the file's path as weights"
            ) from error
        self.backbone, self.classifier = whole.backbone, whole.classifier
        self.aux_classifier = whole.aux_classifier
        if options.weights is not None and named is None:
            if not os.path.isfile(options.weights):
                raise NetworkError(
                    f"weights {options.weights!r} are neither a file nor one of {', '.join(known)}"
                )
            load_weights(self, Path(options.weights))

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits."""
        logits: Tensor = self.classifier(self.backbone(images)["out"])
        return logits

    def training_logits(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Segmenter.training_logits`."""
        maps = self.backbone(images)
        return self.classifier(maps["out"]), self.aux_classifier(maps["aux"])
