"""Layers of neurons on a CPU, one step after the other.

All that a layer does with a step is done before the next step begins: its currents, membranes and spikes are
still in the cache from one operation to the next. What is sent is what whole chunks give, to the last bit
(functions of reals may round otherwise where values lie elsewhere in memory).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.functions.elementwise import Elementwise
from conversion.functions.telescope import Telescope
from conversion.graph.operations import Kind
from conversion.neurons import Neuron, State
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.signals.memory import room_for
from conversion.signals.signals import fold

BLOCK_BYTES = 2**18  # of what a layer receives that is worked on before anything else is; caches hold several
_ADDITIONS = (operator.add, torch.add, "add")


@dataclass(frozen=True)
class Sent:
    """What a layer of neurons does in a chunk.

    Attributes:
        values: sent, in units of the activation, [T, B, ...].
        state: after the last step.
        events: summed over these steps, [B, ...]; None where nobody counts.
    """

    values: Tensor
    state: State
    events: Tensor | None


def can_step(layer: SpikingLayer, current: Tensor) -> bool:
    """True where steps are faster than chunks: on a CPU, for neurons that scan step by step anyway.

    Args:
        layer: of neurons.
        current: that it receives, any shape.
    """
    tensors = (layer.threshold, *(() if layer.offset is None else (layer.offset,)))
    plain = all(torch.result_type(current, one) is current.dtype for one in tensors)
    scans = type(layer.neuron).scan is Neuron.scan
    return plain and scans and current.device.type == "cpu" and not current.requires_grad


def read_once(plan: Plan) -> frozenset[fx.Node]:
    """Layers of neurons that may write over their currents: just made, and read by nothing else."""
    found = set[fx.Node]()
    for node in plan.nodes_of(Kind.NEURON):
        (source, *more) = node.all_input_nodes
        role = plan.roles.get(source)
        made = role is not None and (role.kind is Kind.WEIGHTED or source.target in _ADDITIONS)
        if made and not more and len(source.users) == 1:
            found.add(node)
    return frozenset(found)


def send(
    layer: SpikingLayer,
    current: Tensor,
    steps: int,
    state: State,
    telescope: tuple[Telescope, Elementwise] | None,
    counts: bool,
    over: bool,
) -> Sent:
    """Send what follows from the currents of a chunk.

    Args:
        layer: of neurons.
        current: that flows into it, [T, B, ...], or [1, B, ...] if it does not change.
        steps: T.
        state: of the neurons before the chunk; it is left as it was.
        telescope: the function whose increments the neurons receive, if any, and where it stands.
        counts: whether events are counted.
        over: write what is sent over the currents.
    """
    sent = current if over and len(current) == steps else room_for(current, steps)
    events = torch.zeros_like(current[0]) if counts else None
    batch, step_bytes = current.shape[1], current[0].numel() * current.element_size()
    together = max(1, BLOCK_BYTES * batch // max(step_bytes, 1))  # images
    at_once = max(1, BLOCK_BYTES // max(step_bytes, 1))  # steps
    if together >= batch:
        chunk = _Chunk(layer, current, sent, events)
        return Sent(sent, chunk.run(at_once, state, telescope), events)
    sizes = [min(together, batch - first) for first in range(0, batch, together)]
    telescopes = telescope[0].split(sizes, current[0]) if telescope is not None else []
    states = list[State]()
    for index, size in enumerate(sizes):
        rows = slice(index * together, index * together + size)
        chunk = _Chunk(layer, current[:, rows], sent[:, rows], events if events is None else events[rows])
        part = {key: entry[rows] if entry.ndim else entry for key, entry in state.items()}
        states.append(chunk.run(1, part, (telescopes[index], telescope[1]) if telescope else None))
    if telescope is not None:
        telescope[0].join(telescopes)
    after = {
        key: torch.cat([one[key] for one in states]) if entry.ndim else entry
        for key, entry in states[0].items()
    }
    return Sent(sent, after, events)


@dataclass(frozen=True)
class _Chunk:
    """Some images in a chunk of steps.

    Attributes:
        layer: of neurons.
        current: [T, B, ...] or [1, B, ...].
        sent: where values are written, [T, B, ...]; may be the current.
        events: where they are added up, [B, ...].
    """

    layer: SpikingLayer
    current: Tensor
    sent: Tensor
    events: Tensor | None

    def run(self, at_once: int, state: State, telescope: tuple[Telescope, Elementwise] | None) -> State:
        """Fire, so many steps at once as far as neurons do not mind; the state after the last step."""
        neuron, current, steps = self.layer.neuron, self.current, len(self.sent)
        state = neuron.owned(state, current[0])
        constant = len(current) < steps
        driven = None
        if constant and telescope is None:  # the same drives them in every step
            driven = self._driven(current[0], torch.empty_like(current[0]))
        for first in range(0, steps, at_once):
            block = self.sent[first : first + at_once]
            if driven is None:
                received = current if constant else current[first : first + at_once]
                if telescope is not None:
                    received = _increments(*telescope, received, len(block))
                self._driven(received, block)
            for spikes in block.unbind(0):
                state = neuron.advance(spikes if driven is None else driven, state, spikes)
                if self.events is not None:
                    self.events.add_(neuron.events(spikes))
            block *= self.layer.threshold
        return state

    def _driven(self, received: Tensor, room: Tensor) -> Tensor:
        """Currents in thresholds, written into `room`."""
        if self.layer.offset is None:
            return torch.div(received, self.layer.threshold, out=room)
        return torch.add(received, self.layer.offset, out=room).div_(self.layer.threshold)


def _increments(telescope: Telescope, function: Elementwise, current: Tensor, steps: int) -> Tensor:
    """What neurons receive of a function, [T, B, ...], from currents [T or 1, B, ...]."""
    if steps == 1:
        return telescope.next_elementwise(function, current[0])[None]
    return telescope.advance_elementwise(function, fold(current), steps).timed
