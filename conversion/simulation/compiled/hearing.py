"""What functions hear in the compiled kernels: what a signal has said so far, summed up in one pass."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from conversion.functions.differential import DifferentialTelescope
from conversion.signals.coding import Coding
from conversion.signals.signals import Signal, Spikes, Told, signals_in
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.layers import Summand, Synapses, run_layer
from conversion.simulation.compiled.population import Population
from conversion.simulation.compiled.rows import Rows, carried, inflow
from conversion.simulation.fused.firing import ESTIMATES, MEANS, Firing
from conversion.simulation.pytorch.layers import TorchLayers


class Hearing:
    """The ears of all functions of one batch.

    Args:
        reference: evaluates the functions, and knows what arrived at rest.
        coding: of what arrives.
        buffers: where memory of results comes from.
    """

    def __init__(self, reference: TorchLayers, coding: Coding, buffers: Buffers) -> None:
        self._reference = reference
        self._coding = coding
        self._buffers = buffers
        self._arrived: dict[tuple[fx.Node, int], Population] = {}
        self._rows: dict[fx.Node, Rows] = {}

    def rows(self, node: fx.Node, signal: Signal) -> Rows:
        """How signals of a node become rows: as the first one of it lay in memory."""
        if node not in self._rows:
            self._rows[node] = Rows.of(carried(signal))
        return self._rows[node]

    def means(
        self,
        node: fx.Node,
        index: int,
        shape: Sequence[int],
        steps: int,
        there: Sequence[int],
        layout: Callable[[str, Tensor], Tensor],
        summands: Sequence[Summand],
        drive: tuple[Spikes, Synapses] | None = None,
    ) -> Tensor:
        """What has been said after each step by all that flows in: its mean so far, or what it decodes to.

        Args:
            node: what hears it.
            index: which of the signals that it reads.
            shape: of one step, in the kernel.
            steps: T.
            there: shape of one step outside the kernel.
            layout: (name, state) -> a state of that shape as the kernel has it.
            summands: what flows in.
            drive: likewise, as for `run_layer`.
        """
        place = (node, index)
        if place not in self._arrived:
            telescope, zeros = self._reference.telescope(node), layout("arrived", torch.zeros(*there))
            if isinstance(telescope, DifferentialTelescope):
                assert telescope.rest is not None
                states = [zeros, layout("rest", telescope.rest[index])]
                self._arrived[place] = Population(Firing(ESTIMATES), states, coding=self._coding)
            else:
                self._arrived[place] = Population(Firing(MEANS), [zeros])
        means, _ = run_layer(shape, steps, drive, summands, self._arrived[place], self._buffers)
        return means

    def told(self, node: fx.Node, index: int, signal: Signal, rows: Rows, steps: int) -> Told:
        """A signal of any shape, of T steps or constant, with what it has said to one that hears it."""
        value = rows.signal(signal)
        there = [value.shape[0], *rows.shape]
        summands = [inflow(value, torch.ones(1, 1))]
        said = self.means(node, index, list(value.shape), steps, there, rows.state, summands)
        return Told(rows.back(said), steps, partial(_data, signal, steps))

    def heard(
        self, node: fx.Node, values: dict[fx.Node, Any], constant: Container[fx.Node], steps: int
    ) -> dict[fx.Node, Any]:
        """Values with what those that a function reads have said so far; constant ones say it themselves."""
        arriving = signals_in(fx.map_arg([node.args, node.kwargs], lambda source: values[source]))
        heard = dict(values)
        for source in node.all_input_nodes:
            value = values[source]
            if source in constant or not isinstance(value, Signal) or isinstance(value, Told):
                continue
            index = next(i for i, signal in enumerate(arriving) if signal is value)
            heard[source] = self.told(node, index, value, self.rows(source, value), steps)
        return heard


def _data(signal: Signal, steps: int) -> Tensor:
    return signal.over(steps).data
