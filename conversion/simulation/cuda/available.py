"""Whether Triton is there, and whether its kernels run here: on a GPU, or interpreted."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

LEAST_CAPABILITY = (8, 0)  # Ampere: the first that multiplies bfloat16
INTERPRET = "TRITON_INTERPRET"


@cache
def has_triton() -> bool:
    """True where Triton is installed; it comes with PyTorch on Linux."""
    return find_spec("triton") is not None


@cache
def interpreted() -> bool:
    """True where kernels are interpreted on the CPU: Triton was imported with TRITON_INTERPRET=1."""
    if not has_triton():
        return False
    from triton.runtime.interpreter import InterpretedFunction

    from conversion.simulation.cuda.kernels.scan import scan

    return isinstance(scan, InterpretedFunction)


def is_real(tensor: Tensor) -> bool:
    """True for a tensor with memory that a kernel can read; PyTorch's fake tensors have none."""
    return type(tensor) in (Tensor, torch.nn.Parameter)


def has_gpu(device: torch.device) -> bool:
    """True for an NVIDIA GPU of this machine that Triton compiles for."""
    if device.type != "cuda" or torch.version.cuda is None or not torch.cuda.is_available():
        return False
    return torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


def why_not(images: Tensor) -> str:
    """Why the kernels cannot run on these images, with the way out; nothing where they can."""
    if not has_triton():
        return "Triton is not installed; on Linux it comes with PyTorch: pip install triton"
    if images.dtype != torch.float32:
        return f"images are {images.dtype}, its kernels take float32; use images.float() and network.float()"
    if images.device.type == "cuda":
        return ""  # also one of PyTorch's fake mode, where nothing is launched
    if images.device.type == "cpu" and os.environ.get(INTERPRET) == "1" and interpreted():
        return ""
    return (
        f"images are on the device {images.device}; its kernels need a CUDA device, or are interpreted "
        f"on the CPU where {INTERPRET}=1 is set before Python starts"
    )
