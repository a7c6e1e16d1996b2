"""A small vision transformer for small images, trained in a minute on a CPU.

Source: Dosovitskiy et al. 2021, arXiv 2010.11929; a norm before attention and perceptron, the mean
over tokens in place of a class token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.networks.errors import NetworkError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


@dataclass(frozen=True)
class SmallViTOptions:
    """Options of `SmallViT`.

    Raises:
        NetworkError: a number is not above 0, or heads do not divide the width.
    """

    patch: int = 2  # pixels of a patch, each way
    width: int = 48  # features of a token
    depth: int = 3  # blocks
    heads: int = 3
    size: int = 8  # pixels of an image in training, each way
    activation: str = "gelu"  # of the perceptrons: also "relu", "silu" and "hardswish"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise NetworkError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        for name in ("patch", "width", "depth", "heads", "size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise NetworkError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.width % self.heads:
            raise NetworkError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if self.size % self.patch:
            raise NetworkError(f"size must be a multiple of patch, got {self.size} and {self.patch}")


class TransformerBlock(nn.Module):
    """Attention and a perceptron, each after a norm and added to what comes in; tokens [B, N, E]."""

    def __init__(self, width: int, heads: int, activation: str = "gelu") -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            ACTIVATIONS[activation](),
            nn.Linear(2 * width, width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, N, E] to [B, N, E]."""
        normal = self.norm(tokens)
        attended: Tensor = self.attention(normal, normal, normal, need_weights=False)[0]
        tokens = tokens + attended
        result: Tensor = tokens + self.perceptron(tokens)
        return result


class SmallViT(nn.Module):
    """A small vision transformer; maps images [B, in_channels, H, W] to logits [B, num_classes].

    H and W are multiples of the patch; where they are not `size`, places are interpolated.

    Args:
        num_classes: number of classes.
        in_channels: channels of the images.
        options: sizes.
    """

    def __init__(self, num_classes: int, in_channels: int, options: SmallViTOptions) -> None:
        super().__init__()
        self.patches = nn.Conv2d(in_channels, options.width, options.patch, options.patch)
        side = options.size // options.patch
        self.places = nn.Parameter(0.02 * torch.randn(1, options.width, side, side))
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(options.width, options.heads, options.activation)
                for _ in range(options.depth)
            )
        )
        self.norm = nn.LayerNorm(options.width)
        self.linear = nn.Linear(options.width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K]."""
        patches = self.patches(images)
        places = F.interpolate(self.places, patches.shape[2:], mode="bilinear", align_corners=False)
        tokens = (patches + places).flatten(2).transpose(1, 2)
        logits: Tensor = self.linear(self.norm(self.blocks(tokens)).mean(1))
        return logits
