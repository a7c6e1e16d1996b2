"""A fully convolutional network: scores at three resolutions, resized bilinearly and added.

Source: Long et al. 2015, arXiv 1411.4038, section 4.2 (FCN-8s with its skips). Differences: a 3x3
convolution before each score in place of VGG's fully connected layers, and bilinear resizing, which is affine
and fits any image size, in place of learned transposed convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lightning_modules.networks.choices import with_activation
from lightning_modules.networks.detection.anchor_free import conv_bn_relu
from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.segmentation.backbones import build_backbone, check_backbone
from lightning_modules.networks.segmentation.base import AuxiliaryHead, Segmenter, resized


@dataclass(frozen=True)
class FcnOptions:
    """Options of `Fcn`."""

    backbone: str = "tiny"  # "mini", "tiny", "vgg16", "resnet18" or "resnet50"
    backbone_weights: str | None = None  # torchvision's name of ImageNet weights
    width: int = 64  # channels before the scores
    auxiliary: bool = False  # train with an auxiliary head on the middle map
    activation: str = "relu"  # "silu" and "hardswish" convert with neurons of both signs

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        if type(self.width) is not int or self.width < 1:
            raise NetworkError(f"width must be an integer of at least 1, got {self.width!r}")
        if not isinstance(self.auxiliary, bool):
            raise NetworkError(f"auxiliary must be true or false, got {self.auxiliary!r}")


class Fcn(Segmenter):
    """The network; logits have the resolution of the backbone's finest map (stride 4 of tiny ones, else 8).

    Args:
        num_classes: K.
        in_channels: of the images.
        options: backbone, width.
    """

    def __init__(self, num_classes: int, in_channels: int, options: FcnOptions) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = build_backbone(options.backbone, in_channels, options.backbone_weights)
        channels: tuple[int, int, int] = self.backbone.channels  # type: ignore[assignment]
        self.heads = nn.ModuleList(
            nn.Sequential(conv_bn_relu(count, options.width, 3), nn.Conv2d(options.width, num_classes, 1))
            for count in channels
        )
        self.auxiliary = AuxiliaryHead(channels[1], num_classes) if options.auxiliary else None
        with_activation(self, options.activation)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits."""
        return self._scores(self.backbone(images))

    def training_logits(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Segmenter.training_logits`."""
        maps = self.backbone(images)
        return self._scores(maps), None if self.auxiliary is None else self.auxiliary(maps[1])

    def _scores(self, maps: list[Tensor]) -> Tensor:
        fine, middle, coarse = (head(x) for head, x in zip(self.heads, maps, strict=True))
        middle = middle + resized(coarse, middle)
        scores: Tensor = fine + resized(middle, fine)
        return scores
