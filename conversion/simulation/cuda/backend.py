"""The backend for NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, fx

from conversion.costs.tally import SpikeTally
from conversion.plan.fitted import Fitted
from conversion.simulation.backend import (
    HALVES,
    Backend,
    Clock,
    FittingRunner,
    Precision,
    Running,
    Schedule,
    WallClock,
    neighbours,
)
from conversion.simulation.cuda.available import has_gpu, has_triton, is_real, why_not
from conversion.simulation.cuda.chunks import Chunks
from conversion.simulation.cuda.clock import EventClock
from conversion.simulation.cuda.graphs import recorder_for
from conversion.simulation.cuda.layers import NAME, KernelLayers
from conversion.simulation.cuda.prepared import Prepared
from conversion.simulation.memory import Footprint, Fused, footprint
from conversion.simulation.pytorch.layers import TorchLayers
from conversion.simulation.walk import Walk, WalkState


class Triton(Backend):
    """Runs neurons and pools in Triton kernels, layers with weights by cuDNN."""

    name: ClassVar[str] = NAME
    packs_weights: ClassVar[bool] = True

    def suits(self, images: Tensor) -> bool:
        """True for float32 images on an NVIDIA GPU that Triton compiles for."""
        return images.dtype == torch.float32 and has_gpu(images.device) and has_triton()

    def runs(self, precision: Precision) -> bool:
        """True for float32 and for both half precisions."""
        return precision == "float32" or precision in HALVES

    @property
    def kernels(self) -> tuple[str, ...]:
        """Neurons and pools."""
        return ("neurons", "pools") if has_triton() else ()

    @property
    def fingerprint(self) -> str:
        """Triton's version."""
        if not has_triton():
            return ""
        import triton

        return str(triton.__version__)

    def schedules(self, fitted: Fitted, images: Tensor, chunk: int, precision: Precision) -> list[Schedule]:
        """All images at once, and neighbours: fewer images or steps leave more of a chunk in cache."""
        return neighbours(Schedule(len(images) or 1, chunk, NAME), len(images), chunk)

    def prepare(self, fitted: Fitted, precision: Precision) -> Prepared:
        """Which layers run in kernels, and weights in half precision."""
        return Prepared(fitted, precision)

    def start(
        self, prepared: Prepared, parts: Sequence[Tensor], schedule: Schedule, tally: SpikeTally, frugal: bool
    ) -> list[Running]:
        """A walk for each part.

        Raises:
            RuntimeError: kernels cannot run on these images; says why, and what to do.
        """
        reason = why_not(parts[0])
        if reason:
            raise RuntimeError(f"backend '{NAME}': {reason}")
        running: list[Running] = []
        for part in parts:
            progress = WalkState()
            images = part.contiguous(memory_format=torch.channels_last) if part.ndim == 4 else part
            reference = TorchLayers(prepared.fitted, images, progress, tally)
            runner = KernelLayers(prepared, reference, progress, tally)
            recorder = recorder_for(prepared, part, tally, frugal)
            running.append(Chunks(Walk(prepared.fitted.plan, runner, progress), progress, recorder))
        return running

    def can_time(self, images: Tensor) -> bool:
        """True for images that are there, on a GPU; how long interpreting takes says nothing."""
        return images.device.type == "cuda" and is_real(images)

    def clock(self, images: Tensor) -> Clock:
        """Events of the GPU."""
        return EventClock(images.device) if images.device.type == "cuda" and is_real(images) else WallClock()

    def wait(self, images: Tensor) -> None:
        """Wait for the GPU."""
        if images.device.type == "cuda" and is_real(images):
            torch.cuda.synchronize(images.device)

    def fitting(self, fitted: Fitted, images: Tensor, progress: WalkState) -> FittingRunner:
        """In PyTorch's operations."""
        return TorchLayers(fitted, images, progress)

    def footprint(self, fitted: Fitted, values: Mapping[str, int]) -> Footprint:
        """Floats throughout; neurons in kernels hold no currents."""
        fused: dict[fx.Node, Fused] = {
            node: Fused(frozenset(layer.inflow.absorbed), in_bytes=False, fires=True)
            for node, layer in Prepared(fitted, "float32").layers.items()
        }
        return footprint(fitted, values, fused)
