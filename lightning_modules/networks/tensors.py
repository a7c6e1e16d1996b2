"""Whether tensors of a file can be weights: dense, not empty, of the right kind of number, and finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

COUNTER = ".num_batches_tracked"  # of batch norm; inference never reads it, so that its value is free


def unusable_tensors(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Find tensors that cannot be copied into a network as they are, whatever their shapes.

    Args:
        network: what they are for.
        state: tensors by key; keys that the network does not have are looked at as well.

    Returns:
        What is wrong -> the keys, each with what it holds. Empty where all can be copied.
    """
    own = network.state_dict()
    found: dict[str, list[str]] = {}
    for key, value in state.items():
        if problem := _form(value) or (_content(key, value, own[key]) if key in own else None):
            kind, detail = problem
            found.setdefault(kind, []).append(f"{key} {detail}")
    return found


def _form(value: Tensor) -> tuple[str, str] | None:
    """What is wrong with the way in which a tensor is stored."""
    if value.is_meta:
        return "with a shape and no numbers (device meta)", "is empty"
    if value.is_quantized:
        return "quantised, save value.dequantize()", f"is {_name(value.dtype)}"
    if value.layout != torch.strided or value.is_nested:
        return (
            "not dense, save value.to_dense()",
            f"is {'nested' if value.is_nested else _name(value.layout)}",
        )
    return None


def _content(key: str, value: Tensor, own: Tensor) -> tuple[str, str] | None:
    """What is wrong with the numbers of a dense tensor."""
    theirs, mine = _kind(value.dtype), _kind(own.dtype)
    said = f"is {_name(value.dtype)}, {_name(own.dtype)} in the network"
    if theirs != "complex" and key.endswith(COUNTER):
        return None
    if (theirs, mine) == ("whole", "floating-point"):
        return "integers for weights, and their scale is not in the file", said
    if (theirs, mine) == ("floating-point", "whole"):
        exact = torch.equal(value.double(), value.to(own.dtype).double())
        return None if exact else ("fractions for whole numbers", said)
    if theirs != mine:
        return f"{theirs} numbers for {mine} ones", said
    if mine != "whole" and torch.isfinite(own).all():  # a mask may hold -inf by design
        wrong = int((~torch.isfinite(value.to(own.dtype))).sum())
        return ("NaN or infinite", f"in {wrong} of {value.numel()} values") if wrong else None
    return None


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "complex"
    return "floating-point" if dtype.is_floating_point else "whole"


def _name(thing: torch.dtype | torch.layout) -> str:
    return str(thing).removeprefix("torch.")
