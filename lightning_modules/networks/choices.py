"""Choices that several networks offer: what takes the place of ReLU, and of max pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from conversion.graph.activations import QCFS, IntegerActivation
from lightning_modules.networks.errors import NetworkError

Activation = Literal["relu", "silu", "hardswish", "qcfs", "integer"]
MADE_FOR_CONVERSION = ("qcfs", "integer")
Pooling = Literal["max", "average"]
DEFAULT_LEVELS = 4
_PLAIN: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "hardswish": nn.Hardswish}


@dataclass(frozen=True)
class ActivationOptions:
    """Options of networks whose activation can be one that is made for conversion.

    Raises:
        NetworkError: there is no such activation, or levels do not fit it.
    """

    # "silu" and "hardswish" convert with neurons of both signs; "qcfs" and "integer" train to be converted.
    activation: Activation = "relu"
    levels: int | None = None  # of such an activation, above zero: 4 unless given

    def __post_init__(self) -> None:
        if self.activation not in get_args(Activation):
            raise NetworkError(
                f"activation must be one of {', '.join(get_args(Activation))}, got {self.activation!r}"
            )
        if self.levels is None:
            return
        if self.activation not in MADE_FOR_CONVERSION:
            raise NetworkError(
                f"levels is an option of activation qcfs or integer, and the activation is {self.activation}"
            )
        if type(self.levels) is not int or self.levels < 1:
            raise NetworkError(f"levels must be a whole number of at least 1, got {self.levels!r}")

    def new_activation(self) -> nn.Module:
        """A fresh activation; each place of a network needs its own, because thresholds are learned."""
        levels = self.levels or DEFAULT_LEVELS
        if self.activation == "qcfs":
            return QCFS(levels)
        if self.activation == "integer":
            return IntegerActivation(levels)
        return _PLAIN[self.activation]()


def with_activation(network: nn.Module, activation: str) -> None:
    """Put another activation in the place of every ReLU of a network, in place.

    Args:
        network: is changed.
        activation: "relu" changes nothing; "silu" or "hardswish".

    Raises:
        NetworkError: there is no such activation.
    """
    if activation not in _PLAIN:
        raise NetworkError(f"activation must be one of {', '.join(_PLAIN)}, got {activation!r}")
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.ReLU:
                setattr(module, name, _PLAIN[activation]())


@dataclass(frozen=True)
class PoolingOptions(ActivationOptions):
    """Options of networks whose pooling can be chosen as well.

    Raises:
        NetworkError: there is no such pooling.
    """

    pooling: Pooling = "max"  # "average" is affine, so spikes pass it without an error

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in get_args(Pooling):
            raise NetworkError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {self.pooling!r}")

    def new_pooling(self, size: int, stride: int, padding: int = 0) -> nn.Module:
        """A pooling of square windows; padding counts as zeros in an average."""
        kind = nn.MaxPool2d if self.pooling == "max" else nn.AvgPool2d
        return kind(size, stride, padding)
