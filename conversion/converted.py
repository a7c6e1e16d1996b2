"""Base of everything that a network can be converted into: simulate it, read it out at any time step."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from conversion.compiled.fixed_point import Precision
from conversion.costs.synapses import Connectivity, connectivity
from conversion.graph.operations import SOURCES, Kind
from conversion.graph.plan import Entry, Plan
from conversion.outputs import Readout
from conversion.recipes import Recipe

DEFAULT_CHUNK = 16  # time steps pushed through one layer before the next


class Converted(nn.Module):
    """Base of converted networks: the plan, the report, the exact connectivity.

    Attributes:
        recipe: the conversion method.
        report: what became of every operation, in graph order.
        memory_mib: budget of a simulation in MiB, or none. Images are then simulated so many at a time, in
            chunks of so many steps, that states and activations stay within it. Weights and the images
            themselves come on top.
    """

    def __init__(self, plan: Plan, report: list[Entry]) -> None:
        super().__init__()
        self.captured = plan.captured
        self.plan = plan
        self.report = report
        self.memory_mib: float | None = None
        self._connectivity: dict[torch.Size, Connectivity] = {}

    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module; the converted network itself always evaluates."""
        super().train(mode)
        self.captured.eval()
        return self

    @property
    def recipe(self) -> Recipe:
        """The conversion method."""
        return self.plan.recipe

    def connectivity(self, images: Tensor) -> Connectivity:
        """Synapses of every layer for images of this size; measured once a size."""
        size = images.shape[1:]
        if size not in self._connectivity:
            one = images[:1] if len(images) else images.new_zeros(1, *size)
            self._connectivity[size] = connectivity(self.plan, one)
        return self._connectivity[size]

    def simulate(
        self,
        images: Tensor,
        time_steps: Iterable[int],
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
    ) -> Generator[Readout, None, None]:
        """Read-outs at the given time steps, from one simulation."""
        raise NotImplementedError

    def title(self, t: int) -> str:
        """What a picture of its output at t is called."""
        return f"SNN, t = {t}"

    def at(self, t: int) -> Converted:
        """The network that is read out at t: itself, unless the recipe fits one for each t."""
        return self

    def forward(self, images: Tensor, time_steps: int = 64) -> Any:
        """Mean output after `time_steps` steps, for images [B, C, H, W]."""
        *_, last = self.simulate(images, (time_steps,))
        return last.output


def checked_time_steps(time_steps: Iterable[int]) -> list[int]:
    """Sorted time steps without duplicates; ValueError unless all are positive whole numbers."""
    steps = sorted(set(time_steps))
    if not steps or any(not isinstance(t, int) or t < 1 for t in steps):
        raise ValueError(f"time steps must be positive whole numbers, got {steps or 'none'}")
    return steps


def source_layers(network: Converted) -> list[tuple[str, Kind]]:
    """Names and kinds of the layers that emit spikes."""
    roles = network.plan.roles.values()
    return [(role.name, role.kind) for role in roles if role.kind in SOURCES]
