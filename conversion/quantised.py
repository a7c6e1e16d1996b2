"""The quantised ANN behind the recipe `ptq`: read out like a spiking network, run in one pass.

Read out at t, it is the ANN with activations of min(t, 255) levels and 8-bit weights, the network
that carries as many bits per activation as t binary time steps (see `conversion.neurons.quantiser`). The
activations of a leaky ReLU have as many levels below zero, as t steps of signed spikes have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from typing import Any, Self

import torch
from torch import Tensor, fx

from conversion.converted import Converted
from conversion.costs.activity import ActiveInputs
from conversion.costs.synapses import Connectivity
from conversion.fitting.kept import KeptCalibration
from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.operations import Kind
from conversion.neurons.quantiser import Quantiser, quantise_activation, quantise_weight
from conversion.outputs import Activity, Ran, Readout
from conversion.plan.layer import per_channel
from conversion.plan.plan import Plan
from conversion.scales import least_squares_thresholds
from conversion.simulation.backend import Precision
from conversion.tensors import on_device_of


class QuantisedNetwork(Converted):
    """The ANN with rounded activations and weights.

    Args:
        plan: captured graph; its weights are rounded in place (the graph owns copies).
        statistics: activation statistics of every neuron layer.
        rounded: the weights are rounded already.
    """

    def __init__(
        self, plan: Plan, statistics: Mapping[str, ActivationStatistics], rounded: bool = False
    ) -> None:
        super().__init__(plan)
        assert isinstance(plan.method.neuron, Quantiser)
        self._quantiser = plan.method.neuron
        self.calibration = KeptCalibration((), statistics)
        self._thresholds: dict[int, dict[str, Tensor]] = {}
        self._reach: dict[tuple[str, torch.Size], Tensor] = {}  # weights that inputs of each layer meet
        if not rounded:
            _round_weights(plan, self._quantiser.weight_bits)

    def title(self, t: int) -> str:
        """What a picture of its output is called where a spiking network would have run t steps."""
        return f"quantised ANN, {self._quantiser.levels(t)} levels"

    def _thresholds_for(self, levels: int) -> dict[str, Tensor]:
        if levels not in self._thresholds:
            self._thresholds[levels] = {
                name: least_squares_thresholds(statistics, levels).float()
                for name, statistics in self.calibration.statistics.items()
            }
        return self._thresholds[levels]

    def _fit(self, t: int) -> None:
        self._thresholds_for(self._quantiser.levels(t))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self._thresholds, self._reach = on_device_of(fn, self._thresholds), on_device_of(fn, self._reach)
        return self

    def connectivity(self, images: Tensor) -> Connectivity:
        """Synapses of every layer, and weights that its inputs meet, for images of this size."""
        known = images.shape[1:] in self._connectivity
        found = super().connectivity(images)
        if not known or not self._reach:
            with torch.no_grad(), ActiveInputs(self.captured, self._reach):
                self.captured(torch.zeros_like(images[:1]))
        return found

    def _forget_counts(self) -> None:
        super()._forget_counts()
        self._reach = {}

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._thresholds = {}  # of other calibration images
        super()._load_from_state_dict(*args, **kwargs)

    def _readouts(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        """Outputs of the quantised ANN at as many levels as there are time steps.

        There is no time, so the chunk has no effect, and weights are rounded already. Nothing spikes;
        `t_total` is t, the steps that a read-out stands for. Inputs of layers that are not zero are counted.
        """
        ran = Ran("pytorch", "float32", {"pytorch": len(self.plan.nodes_of(Kind.NEURON))})
        silent = {layer.name: 0.0 for layer in self.connectivity(images).layers}
        for t in steps:
            levels = self._quantiser.levels(t)
            run = _QuantisedRun(self.plan, self._thresholds_for(levels), levels)
            with ActiveInputs(self.captured, self._reach) as counting:
                output = run.run(images)
            activity = Activity(len(images), {}, silent, counting.counts())
            yield Readout(t, t, t, output, activity, ran)

    def activation_bits(self, t: int) -> int:
        """Bits of an activation at t: as many as its levels need, and one more for a sign."""
        signed = any(role.signed for role in self.plan.roles.values() if role.kind is Kind.NEURON)
        return math.ceil(math.log2(self._quantiser.levels(t) + 1)) + signed


class _QuantisedRun(fx.Interpreter):
    """The ANN's graph with every ReLU followed by rounding."""

    def __init__(self, plan: Plan, thresholds: Mapping[str, Tensor], levels: int) -> None:
        super().__init__(plan.captured)
        self._plan = plan
        self._thresholds = thresholds
        self._levels = levels

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        role = self._plan.roles.get(n)
        if role is None or role.kind is not Kind.NEURON:
            return value
        threshold = self._thresholds[role.name].clamp(min=1e-12)
        shaped = per_channel(threshold, value.ndim, role.axis).to(value)
        return quantise_activation(value, shaped, self._levels, signed=role.signed)


def _round_weights(plan: Plan, bits: int) -> None:
    """Round the weights of every layer; biases stay, as integer hardware keeps them at 32 bits."""
    done: set[str] = set()
    for node in plan.nodes_of(Kind.WEIGHTED):
        if node.op != "call_module" or str(node.target) in done:
            continue
        done.add(str(node.target))
        layer: Any = plan.captured.get_submodule(str(node.target))
        axis = 1 if getattr(layer, "transposed", False) else 0
        layer.weight.data = quantise_weight(layer.weight.data, bits, axis)
