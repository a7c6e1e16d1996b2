"""Run one layer of neurons in the kernel for a chunk of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from conversion.neurons import State
from conversion.simulation.cuda.launching import launch
from conversion.simulation.cuda.neurons import Spiking
from conversion.simulation.cuda.signals import Addend, channels_last

COUNTS, VALUES, MEAN = range(3)  # what is written: see kernels/scan.py
MOST_ADDENDS = 3
BLOCK = 512  # neurons of a program, four a thread: the halves of a thread fill 64 bits
PROGRAMS = 2048  # that keep a large GPU busy; more images than that take turns in one


@dataclass
class Population:
    """The neurons of one layer, while they run; channels last, updated in place.

    Attributes:
        spiking: what they do.
        states: float32 [B, ..., C], one for each of `spiking.states`.
        done: time steps so far, float32 [1]: a number that the host need not know.
        most_sent: upper bound of the output [B, ..., C], in thresholds; None for none.
        factor: of everything that is sent [B, ..., C]; None for 1.
    """

    spiking: Spiking
    states: list[Tensor]
    done: Tensor
    most_sent: Tensor | None = None
    factor: Tensor | None = None

    @classmethod
    def of(cls, spiking: Spiking, state: State, factor: Tensor | None, axis: int) -> Population:
        """Neurons in a state of `Neuron.start`, [B, C, ...] with channels along `axis`."""

        def laid_out(entry: Tensor | None) -> Tensor | None:
            return None if entry is None else channels_last(entry.float(), axis).clone()

        states = [channels_last(state[name].float(), axis).clone() for name in spiking.states]
        done = state["step"].float().view(1).clone() if "step" in state else states[0].new_zeros(1)
        return cls(spiking, states, done, laid_out(state.get("most")), laid_out(factor))


def run_neurons(
    addends: Sequence[Addend],
    offset: Tensor | None,
    threshold: Tensor,
    divided: bool,
    population: Population,
    steps: int,
    written: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Add up what flows into a layer, fire it for a chunk, and count its spikes.

    Args:
        addends: one to MOST_ADDENDS, added in this order.
        offset: float32 [C], added to their sum; None for 0.
        threshold: float32 [C].
        divided: the sum is in units of the activation and divided by the threshold; else it is in thresholds.
        population: the neurons; updated.
        steps: T.
        written: COUNTS, VALUES (spikes times threshold) or MEAN (over the chunk, of values).
        dtype: of what is written; float32 for MEAN.

    Returns:
        What was sent, [T * B, ..., C] or [B, ..., C] for MEAN, and events summed over time and images,
        int32 [..., C].
    """
    spiking, states = population.spiking, population.states
    images, *one_image = states[0].shape
    neurons, channels = prod(one_image), one_image[-1]
    rows = images if written == MEAN else steps * images
    sent = states[0].new_empty((rows, *one_image), dtype=dtype)
    counts = torch.zeros(one_image, dtype=torch.int32, device=sent.device)
    blocks = -(-neurons // BLOCK)
    unused = threshold
    arguments: dict[str, Tensor | int] = {}
    scaled = shifted = 0
    for index, name in enumerate("abc"):
        addend = addends[index] if index < len(addends) else Addend(unused, False)
        arguments |= {name: addend.values, f"{name}_varies": int(addend.varies)}
        arguments[f"{name}_scale"] = unused if addend.scale is None else addend.scale
        arguments[f"{name}_shift"] = unused if addend.shift is None else addend.shift
        scaled |= (addend.scale is not None) << index
        shifted |= (addend.shift is not None) << index
    entries = [*states, *[states[0]] * 3]
    launch(
        _scan(),
        (blocks, min(images, -(-PROGRAMS // max(blocks, 1)))),
        **arguments,
        offset=unused if offset is None else offset,
        threshold=threshold,
        membrane=entries[0],
        one=entries[1],
        two=entries[2],
        three=entries[3],
        done=population.done,
        most_sent=unused if population.most_sent is None else population.most_sent,
        factor=unused if population.factor is None else population.factor,
        sent=sent,
        counts=counts,
        steps=steps,
        images=images,
        neurons=neurons,
        channels=channels,
        ADDENDS=len(addends),
        SCALED=scaled,
        SHIFTED=shifted,
        OFFSET=offset is not None,
        DIVIDED=divided,
        CAPPED=population.most_sent is not None,
        FACTOR=population.factor is not None,
        WRITTEN=written,
        BLOCK=BLOCK,
        **spiking.constants,
    )
    if spiking.has_clock:
        population.done += steps
    return sent, counts


def _scan() -> object:
    """The kernel; Triton is imported only here."""
    from conversion.simulation.cuda.kernels.scan import scan

    return scan
