"""A plan with fitted layers: all that a simulation needs besides images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, fx

from conversion.neurons import Neuron
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.plan.spike_values import SpikeValues, spike_values
from conversion.plan.sums import Sums, sums_of


@dataclass(frozen=True, eq=False)
class Fitted:
    """A plan and its neuron layers by name, in the order of computation."""

    plan: Plan
    layers: Mapping[str, SpikingLayer]

    @cached_property
    def _values(self) -> SpikeValues:
        return spike_values(self.plan, {name: layer.threshold for name, layer in self.layers.items()})

    @property
    def spike_values(self) -> dict[fx.Node, Tensor | None]:
        """Value of one spike on every wire, by channel; see `conversion.plan.spike_values`."""
        return self._values.table

    @property
    def moved_values(self) -> dict[fx.Node, Any]:
        """Values of spikes behind operations that move them; see `conversion.plan.spike_values`."""
        return self._values.moved

    @cached_property
    def sums(self) -> Sums:
        """Which values count only by their sum over a whole window; see `conversion.plan.sums`."""
        return sums_of(self.plan, self.layers)

    @property
    def neurons(self) -> list[Neuron]:
        """Neurons of every layer."""
        return [layer.neuron for layer in self.layers.values()]

    @cached_property
    def whole_window(self) -> bool:
        """True where some neurons answer only when the whole window has arrived."""
        return any(neuron.whole_window for neuron in self.neurons)
