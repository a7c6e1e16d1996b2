"""Launch a kernel on the device of its tensors, or only check them where they have no memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor

from conversion.simulation.cuda.available import is_real

# Fused multiply-adds round once where PyTorch rounds twice.
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


def launch(kernel: Any, grid: tuple[int, ...], **arguments: Any) -> None:
    """Run a Triton kernel.

    Args:
        kernel: decorated by `triton.jit`.
        grid: programs along each axis; where one has none, nothing runs.
        arguments: of the kernel; tensors must be contiguous, and all on one device.

    Raises:
        RuntimeError: a tensor is on another device than the first, or not contiguous; names it.
    """
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    first = next(iter(tensors.values()))
    for name, tensor in tensors.items():
        if tensor.device != first.device:
            raise RuntimeError(f"kernel argument '{name}' is on {tensor.device}, others on {first.device}")
        if not tensor.is_contiguous():
            raise RuntimeError(f"kernel argument '{name}' is not contiguous: strides {tensor.stride()}")
    if not all(is_real(tensor) for tensor in tensors.values()) or not prod(grid):
        return
    with _on(first.device):
        kernel[grid](**arguments, **OPTIONS)


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the present device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
