"""A part of a batch on its way through the network on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from conversion.simulation.walk import Walk


class Chunks:
    """Runs a walk with convolutions and products in the precision that their tensors have.

    PyTorch rounds float32 to 11 significant bits in convolutions on GPUs (TF32) unless it is told otherwise.

    Args:
        walk: the part.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    @property
    def ran(self) -> Mapping[str, str]:
        """Which kernel ran each layer, by the layer's name."""
        return self._walk.ran

    def begin(self) -> Any:
        """Run the steps before the read-out; see `Running`."""
        with exact_float32():
            return self._walk.begin()

    def advance(self, steps: int) -> Any:
        """Run more steps; see `Running`."""
        with exact_float32():
            return self._walk.advance(steps)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Neither convolutions nor products of matrices round float32 inside."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products
