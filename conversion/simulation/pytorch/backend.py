"""The reference backend: PyTorch's operations on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from conversion.costs.tally import SpikeTally
from conversion.plan.fitted import Fitted
from conversion.simulation.backend import (
    Backend,
    FittingRunner,
    Precision,
    Running,
    Schedule,
    images_in_cache,
    neighbours,
)
from conversion.simulation.memory import Footprint, footprint
from conversion.simulation.pytorch.layers import NAME, TorchLayers
from conversion.simulation.walk import Walk, WalkState

FLOAT = 4  # bytes
LAYER_BYTES = (
    32 * 2**20
)  # of one layer in one chunk: neurons work on blocks of it, convolutions gain by batches


class PyTorch(Backend):
    """Runs any neuron anywhere, in the precision of the network."""

    name: ClassVar[str] = NAME

    def suits(self, images: Tensor) -> bool:
        """Always."""
        return True

    def schedules(self, fitted: Fitted, images: Tensor, chunk: int, precision: Precision) -> list[Schedule]:
        """As many images as keep a layer at `LAYER_BYTES`, and neighbours; all of them on other devices."""
        if images.device.type != "cpu" or not len(images):
            return [Schedule(len(images) or 1, chunk, NAME)]
        together = images_in_cache(fitted.plan, images, chunk, FLOAT, LAYER_BYTES)
        return neighbours(Schedule(together, chunk, NAME), len(images), chunk)

    def start(
        self, prepared: Fitted, parts: Sequence[Tensor], schedule: Schedule, tally: SpikeTally, frugal: bool
    ) -> list[Running]:
        """A walk for each part; on a CPU channels are last in memory, where convolutions are fastest."""
        if parts and parts[0].ndim == 4 and parts[0].device.type == "cpu":
            parts = [part.contiguous(memory_format=torch.channels_last) for part in parts]
        return [walk(prepared, part, tally, in_short=True) for part in parts]

    def fitting(self, fitted: Fitted, images: Tensor, progress: WalkState) -> FittingRunner:
        """In PyTorch's operations."""
        return TorchLayers(fitted, images, progress)

    def footprint(self, fitted: Fitted, values: Mapping[str, int]) -> Footprint:
        """Everything in floats, and nothing fused."""
        return footprint(fitted, values, {})


def walk(fitted: Fitted, images: Tensor, tally: SpikeTally | None = None, in_short: bool = False) -> Walk:
    """One batch of images on its way through PyTorch's operations.

    Args:
        fitted: what runs.
        images: analog input [B, ...].
        tally: counts spikes; None where they are not needed.
        in_short: only what is sent is asked for; see `TorchLayers`.
    """
    progress = WalkState()
    return Walk(fitted.plan, TorchLayers(fitted, images, progress, tally, in_short), progress)
