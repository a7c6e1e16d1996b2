"""Elementwise functions as plain data: a name and numbers, which files and reports can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Parameter = float | str | tuple[float, ...]


def _prelu(x: Tensor, slopes: Sequence[float]) -> Tensor:
    return F.prelu(x, torch.tensor(slopes, dtype=x.dtype, device=x.device))


# What each name computes, from values and the parameters in order.
_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "identity": lambda x: x,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "prelu": _prelu,
    "hardtanh": lambda x, low, high: x.clamp(low, high),
    "silu": F.silu,
    "gelu": lambda x, approximate: F.gelu(x, approximate=approximate),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "softplus": F.softplus,
    "mish": F.mish,
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "threshold": F.threshold,
}
_NEVER_NEGATIVE = {"relu", "sigmoid", "hardsigmoid", "softplus"}

# Modules -> the name, and the attributes that are its parameters.
_MODULES: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.SiLU: ("silu", ()),
    nn.GELU: ("gelu", ("approximate",)),
    nn.Hardswish: ("hardswish", ()),
    nn.Hardsigmoid: ("hardsigmoid", ()),
    nn.Sigmoid: ("sigmoid", ()),
    nn.Tanh: ("tanh", ()),
    nn.ELU: ("elu", ("alpha",)),
    nn.CELU: ("celu", ("alpha",)),
    nn.SELU: ("selu", ()),
    nn.Softplus: ("softplus", ("beta", "threshold")),
    nn.Mish: ("mish", ()),
    nn.LogSigmoid: ("logsigmoid", ()),
    nn.Softsign: ("softsign", ()),
    nn.Tanhshrink: ("tanhshrink", ()),
    nn.Softshrink: ("softshrink", ("lambd",)),
    nn.Hardshrink: ("hardshrink", ("lambd",)),
    nn.Threshold: ("threshold", ("threshold", "value")),
}

Arguments = tuple[tuple[str, Any], ...]  # (keyword, default), in the order of positions after the signal
_CALLS: dict[Any, tuple[str, Arguments]] = {
    **dict.fromkeys((F.silu, "silu"), ("silu", ())),
    F.gelu: ("gelu", (("approximate", "none"),)),
    F.hardswish: ("hardswish", ()),
    F.hardsigmoid: ("hardsigmoid", ()),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), ("sigmoid", ())),
    torch.special.expit: ("sigmoid", ()),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), ("tanh", ())),
    F.elu: ("elu", (("alpha", 1.0),)),
    **dict.fromkeys((F.celu, torch.celu), ("celu", (("alpha", 1.0),))),
    **dict.fromkeys((F.selu, torch.selu), ("selu", ())),
    F.softplus: ("softplus", (("beta", 1.0), ("threshold", 20.0))),
    F.mish: ("mish", ()),
    F.logsigmoid: ("logsigmoid", ()),
    F.softsign: ("softsign", ()),
    F.tanhshrink: ("tanhshrink", ()),
    F.softshrink: ("softshrink", (("lambd", 0.5),)),
    F.hardshrink: ("hardshrink", (("lambd", 0.5),)),
    F.threshold: ("threshold", (("threshold", 0.0), ("value", 0.0))),
}
MODULES: tuple[type[nn.Module], ...] = tuple(_MODULES)
CALLS: frozenset[Any] = frozenset(_CALLS)  # functions, and names of methods of tensors


@dataclass(frozen=True)
class Elementwise:
    """A function of single values.

    Attributes:
        name: as torch.nn.functional has it, in lower case.
        parameters: its numbers, in the order of torch's arguments. Slopes of a PReLU are one tuple.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """The function of every value; slopes of a PReLU belong to channels, the second axis."""
        return _FUNCTIONS[self.name](x, *self.parameters)

    def __str__(self) -> str:
        several = [p if isinstance(p, str) else f"{p:g}" for p in self.parameters if not isinstance(p, tuple)]
        return f"{self.name}({', '.join(several)})" if several else self.name

    @property
    def signed(self) -> bool:
        """True where it can be negative."""
        if self.name == "hardtanh":
            return float(self.parameters[0]) < 0  # type: ignore[arg-type]
        return self.name not in _NEVER_NEGATIVE


IDENTITY = Elementwise("identity")


def of_module(module: nn.Module) -> Elementwise | None:
    """The function of a module of torch.nn; None where it is none of these."""
    for kind, (name, attributes) in _MODULES.items():
        if isinstance(module, kind):
            return Elementwise(name, tuple(_plain(getattr(module, each)) for each in attributes))
    return None


def of_call(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Elementwise | None:
    """The function of a call; None where it is none of these, or its parameters are no numbers.

    Args:
        target: a function, or the name of a method of a tensor.
        args: its arguments after the signal.
        kwargs: its keyword arguments.
    """
    if target not in _CALLS:
        return None
    name, arguments = _CALLS[target]
    given = dict(zip((keyword for keyword, _ in arguments), args, strict=False)) | kwargs
    values = [given.get(keyword, default) for keyword, default in arguments]
    if not all(isinstance(value, int | float | str) for value in values):
        return None
    return Elementwise(name, tuple(map(_plain, values)))


def _plain(value: Any) -> Parameter:
    return value if isinstance(value, str) else float(value)
