"""Whether a file of PyTorch holds weights alone: loading anything else could run its code."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


def holds_weights_alone(source: Path | BinaryIO) -> bool:
    """True for whole files of tensors and plain values, False for damaged ones and others; nothing is run."""
    import torch

    try:
        torch.load(source, map_location="cpu", weights_only=True)
    except Exception:  # damaged bytes make the unpickler raise anything
        return False
    return True
