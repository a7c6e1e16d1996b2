"""Move, or hash, all tensors that an object holds, wherever they are in it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

EXTRA = "_extra_state"  # in state dicts, as torch calls what is no tensor


def on_device_of(fn: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A value whose tensors follow what `Module._apply` does to a device, in the precision that they have.

    Args:
        fn: what moves tensors, and may change their precision.
        value: a tensor, or an object, list or dictionary that holds some.

    Returns:
        A copy, which shares tensors that stay where they are.
    """
    if isinstance(value, Tensor):
        return value.to(fn(torch.empty(0, device=value.device)).device)
    if isinstance(value, dict):
        return {key: on_device_of(fn, entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(on_device_of(fn, entry) for entry in value)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        twin = copy.copy(value)
        twin.__dict__.update(on_device_of(fn, dict(vars(value))))
        return twin
    return value


def fingerprint(batches: Iterable[Tensor]) -> str:
    """SHA-256 of images: their values, shapes and precision."""
    found = hashlib.sha256()
    add_tensors(found, batches)
    return found.hexdigest()


def add_tensors(digest: Any, tensors: Iterable[Tensor]) -> None:
    """Add tensors to a digest of hashlib: their values, shapes and precision."""
    for tensor in tensors:
        digest.update(f"{list(tensor.shape)} {tensor.dtype};".encode())
        flat = tensor.detach().cpu().contiguous().as_strided((tensor.numel(),), (1,))  # also of one entry
        digest.update(flat.view(torch.uint8).numpy().data)
