"""Names for what the operations of a graph call, so that a graph can be written down and read again.

A name stands for a function, a method, an attribute or a class of modules only if it is in a table that is
made here, from what PyTorch offers and from the tables of `conversion.graph.operations`. So reading a
graph calls nothing but computations on tensors, whatever the file holds.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.graph import activations
from conversion.graph.operations import ATTRIBUTES, FUNCTIONS, METHODS, OUT_OF_PLACE
from conversion.graph.while_tracing import FACTORIES

# Functions that compute no tensor, or read and write other memory than that of tensors.
_NOT_FUNCTIONS = frozenset({"from_file", "save", "load", "compile"})
_OPERATOR = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "neg", "pos", "abs", "invert"),
    *("and_", "or_", "xor", "not_", "lshift", "rshift", "eq", "ne", "lt", "le", "gt", "ge", "getitem"),
    *("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "index", "truth"),
)
_BUILTIN = (getattr, len, max, min, abs, int, float, bool, round, sum, slice, tuple, list)
_METHODS = (
    *("type_as", "view_as", "expand_as", "reshape_as", "size", "dim", "stride", "numel", "to", "type"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "float", "double", "half", "long"),
    *("int", "bool", "bfloat16", "cpu", "contiguous", "expand", "repeat", "view", "masked_fill"),
    *("index_fill", "unfold", "sum_to_size", "values", "indices"),
)
_ATTRIBUTES = ATTRIBUTES | {"data", "T", "mT", "H", "mH", "real", "imag", "values", "indices", "layout"}


@cache
def functions() -> dict[str, Callable[..., Any]]:
    """Every function that a stored graph may call, by its name."""
    found: dict[str, Callable[..., Any]] = {}
    computations = {*dir(torch._C._VariableFunctions), *torch.functional.__all__, *FACTORIES}
    for name in sorted(computations - _NOT_FUNCTIONS):
        value = getattr(torch, name, None)
        if not name.startswith("_") and callable(value) and not isinstance(value, type):
            found[f"torch.{name}"] = value
    for name, value in sorted(vars(F).items()):
        room = getattr(value, "__module__", None)
        public = not name.startswith("_") and callable(value) and not isinstance(value, type)
        if public and room in ("torch.nn.functional", "torch._C._nn", None):
            found[f"torch.nn.functional.{name}"] = value
    found |= {f"operator.{name}": getattr(operator, name) for name in _OPERATOR}
    found |= {f"builtins.{value.__name__}": value for value in _BUILTIN}
    found |= {f"math.{name}": value for name, value in vars(math).items() if callable(value)}
    for room, offered in (("torch.special", torch.special), ("torch.linalg", torch.linalg)):
        found |= {
            f"{room}.{name}": value for name, value in vars(offered).items() if _is_in(FUNCTIONS, value)
        }
    for value in FUNCTIONS:  # our own among them
        if (getattr(value, "__module__", None) or "").startswith("conversion."):
            found[f"{value.__module__}.{value.__name__}"] = value
    return found


def _is_in(table: Mapping[Any, Any], value: Any) -> bool:
    try:
        return value in table
    except TypeError:  # not hashable
        return False


@cache
def methods() -> frozenset[str]:
    """Every method of a tensor that a stored graph may call."""
    offered = {
        name
        for name in dir(Tensor)
        if not name.startswith("_")
        and callable(getattr(Tensor, name))
        and callable(getattr(torch, name.rstrip("_"), None))
    }
    return frozenset({*METHODS, *_METHODS, *(n for n in OUT_OF_PLACE if isinstance(n, str)), *offered})


@cache
def attributes() -> frozenset[str]:
    """Every attribute of a tensor that a stored graph may ask for."""
    return frozenset(_ATTRIBUTES)


@cache
def module_classes() -> dict[str, type[nn.Module]]:
    """Every class of modules that a stored network may hold, by its name."""
    found: dict[str, type[nn.Module]] = {}
    for room, space in (("torch.nn", vars(nn)), ("conversion.graph.activations", vars(activations))):
        for name, value in space.items():
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__name__ == name:
                found[f"{room}.{name}"] = value
    return found


def name_of_function(function: Any) -> str | None:
    """Name of a function; None: a stored graph cannot call it."""
    try:
        return _names().get(function)
    except TypeError:  # not hashable
        return None


def name_of_class(kind: type) -> str | None:
    """Name of a class of modules; None: a stored network cannot hold one."""
    return _class_names().get(kind)


@cache
def _names() -> dict[Any, str]:
    return {value: name for name, value in reversed(functions().items())}


@cache
def _class_names() -> dict[type, str]:
    return {value: name for name, value in module_classes().items()}
