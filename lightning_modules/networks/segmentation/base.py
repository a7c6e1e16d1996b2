"""What every segmentation network offers: coarse logits, and beside them, in training, auxiliary ones.

The forward pass ends at logits at the network's own resolution. Resizing them to the label's size is
affine, so it commutes with averaging over time: it is applied once, to the time-averaged logits, instead of
in every step, and no simulation ever holds logits of the image's size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks.detection.anchor_free import conv_bn_relu


class Segmenter(nn.Module, ABC):
    """Base of segmentation networks; `forward` maps images [B, C, H, W] to logits [B, K, h, w]."""

    num_classes: int

    @abstractmethod
    def training_logits(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits [B, K, h, w] and those of the auxiliary head, if the network has one.

        The auxiliary head helps training only; `forward` passes it by, so conversion leaves it out.
        """


class AuxiliaryHead(nn.Sequential):
    """A 3x3 convolution and a classifier on an intermediate map.

    Source: Zhao et al. 2017, PSPNet, arXiv 1612.01105, section 3.3.

    Args:
        in_channels: of the map.
        num_classes: K.
        dropout: share of channels left out in training.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.1) -> None:
        width = max(16, in_channels // 4)
        super().__init__(
            conv_bn_relu(in_channels, width, 3), nn.Dropout2d(dropout), nn.Conv2d(width, num_classes, 1)
        )


def resized(features: Tensor, like: Tensor) -> Tensor:
    """Resize a map [B, C, h, w] bilinearly to the height and width of another."""
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)


def to_label(logits: Tensor, letterbox: Tensor, input_size: tuple[int, int], size: Sequence[int]) -> Tensor:
    """Resize the logits of one image to its label map.

    Args:
        logits: [K, h, w], over the whole input.
        letterbox: [6], where the image lies in the input: scale x and y (input pixels per stored pixel),
            offset x and y (input pixels), width and height of the stored image.
        input_size: (height, width) of the input in pixels.
        size: (height, width) of the label map.

    Returns:
        Logits [K, *size], bilinear: to the input, cut to the image, to the label map.
    """
    scale_x, scale_y, left, top, width, height = letterbox.tolist()
    rows, columns = round(height * scale_y), round(width * scale_x)
    whole = logits[None].float()
    if tuple(whole.shape[-2:]) != input_size:
        whole = F.interpolate(whole, size=input_size, mode="bilinear", align_corners=False)
    seen = whole[..., int(top) : int(top) + rows, int(left) : int(left) + columns]
    if tuple(seen.shape[-2:]) != tuple(size):
        seen = F.interpolate(seen, size=tuple(size), mode="bilinear", align_corners=False)
    return seen[0]
