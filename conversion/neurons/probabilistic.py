"""Neurons that collect a whole window of input, then fire at random: timing without a pattern."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register
from conversion.signals.memory import sum_of_steps

# Odd 32-bit constants of the hash "lowbias32" (Wellons 2018), and one for each thing that is hashed.
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
_OF_STEP, _OF_SEED, _OF_LAYER = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35
_BITS = 0xFFFFFFFF


@register
@dataclass(frozen=True)
class TwoPhase(Neuron):
    """Two-phase probabilistic neuron: all input first, then spikes at random, spread evenly.

    With v the initial membrane and the sum of the currents of T steps, in step t = 1, ..., T

        s_t = 1 with probability clip(v / (T - t + 1), 0, 1), else 0;  v -= s_t

    so what is left to send is spread over the steps that are left. A sum that is a whole number from 0 to
    T is sent exactly, in any order with the same probability; another one is sent as the whole number
    below it or above it, by chance. Negative sums send nothing, larger ones T spikes.

    Random numbers are a hash of seed, layer, place of the neuron in the layer, and step: the same in
    every run, on every device and backend, whatever the batch or the chunk. All images share them.

    Parameters:
        seed: of the random numbers; results differ between seeds, so report several.
        layer: number of the layer; conversion sets it from the layer's name.

    Source: Bojkovic, Wu, Gu 2025 (ICML), arXiv 2502.14487. The paper's equations could not be checked:
    this is a reconstruction from its description.
    """

    name: ClassVar[str] = "two-phase"
    whole_window: ClassVar[bool] = True
    seed: int = 0
    layer: int = 0

    def __post_init__(self) -> None:
        for field in ("seed", "layer"):
            value = getattr(self, field)
            check(0 <= value <= _BITS, f"{field} must be in [0, 2^32), got {value}")

    @property
    def alphabet(self) -> Alphabet:
        """One spike or none."""
        return "binary"

    def of_layer(self, name: str) -> Neuron:
        """The same neuron with random numbers of its own."""
        return replace(self, layer=zlib.crc32(name.encode()))

    def latency(self, time_steps: int, depth: int) -> int:
        """A window for each layer on the longest path: the image is known at once."""
        return time_steps * max(depth, 1)

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """clip(charge + initial, 0, T); what is sent is the whole number below or above it."""
        return (charge + initial).clamp(0, time_steps)

    @property
    def needs_sum_alone(self) -> bool:
        """All input comes first."""
        return True

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        return self.window(sum_of_steps(current, steps), steps, state)

    def window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes at random; see `Neuron.window`."""
        v = state["v"] + total
        spikes = torch.empty((steps, *v.shape), dtype=v.dtype, device=v.device)
        places = torch.arange(v[:1].numel(), device=v.device).view(v[:1].shape)
        for t in range(steps):
            spikes[t] = v > self.draws(places, t).to(v.dtype) * (steps - t)
            v = v - spikes[t]
        return spikes, {"v": v}

    def draws(self, places: Tensor, step: int) -> Tensor:
        """Random numbers in [0, 1), multiples of 2^-24, for the neurons at these places of the layer.

        Args:
            places: whole numbers, int64.
            step: of the window, from 0.
        """
        x = (
            (places & _BITS)
            ^ _hash(step, _OF_STEP)
            ^ _hash(self.seed, _OF_SEED)
            ^ _hash(self.layer, _OF_LAYER)
        )
        for multiplier in _MULTIPLIERS:
            x = x ^ (x >> 16)
            x = (x * multiplier) & _BITS
        x = x ^ (x >> 16)
        return (x >> 8).float() / 2**24


def _hash(number: int, multiplier: int) -> int:
    """A number of 32 bits, spread over all of them."""
    x = ((number + 1) * multiplier) & _BITS
    x ^= x >> 15
    return (x * _MULTIPLIERS[0]) & _BITS
