"""Every model on a network of two layers, against a simulation that pays for every event one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from energy import Layer, Network, Run, by_name, models
from energy.model import total

IMAGE, HIDDEN, OUT, T = 6, 4, 3, 5
SENT = [[0, 2], [], [1, 2, 3], [2], [0]]  # neurons that fire, step by step
NETWORK = Network(
    (
        Layer("first", 24.0, "analog", 24, 4, IMAGE, HIDDEN, 0, (), 20.0, 5.0),
        Layer("second", 12.0, "spikes", 12, 3, HIDDEN, OUT, 0, ("relu",), 9.0, 3.0),
    ),
    {"relu": HIDDEN},
)
SPIKES = sum(map(len, SENT))


@dataclass(frozen=True)
class Hardware:
    """What a name of a model stands for."""

    clocked: bool  # potentials move once a step, not at every event
    bits: int  # of weights
    payload: int  # bits that the queue holds beside address and time
    multiply: float


def hardware(name: str, alphabet: str) -> Hardware:
    skip, narrow = name.startswith("skip-zeros"), name.endswith("int8")
    carried = {"binary": 0, "signed": 1}[alphabet] if skip or narrow else 0
    # What is read once in -reuse is read once anyway in linear layers: each weight has one input.
    return Hardware("clocked" in name or skip, 8 if narrow else 32, carried, 0.2 if narrow else 3.1)


class Chip:
    """Counts accesses (memory, bits) and operations as they happen."""

    def __init__(self, hardware: Hardware) -> None:
        self.of = hardware
        self.accesses: Counter[tuple[float, int]] = Counter()  # (bytes of the memory, bits) -> how many
        self.adds = self.multiplies = 0

    def move(self, size: float, bits: int, n: int = 1) -> None:
        self.accesses[(size, bits)] += n

    def dense(self, inputs: int, outputs: int) -> None:
        value = self.of.bits
        weights = (inputs * outputs * self.of.bits + outputs * 32) / 8
        for _ in range(outputs):
            for _ in range(inputs):
                self.multiplies += 1
                self.adds += 1
                self.move(weights, self.of.bits)
            self.adds += 1  # bias
            self.move(weights, 32)
            self.move(outputs * 4, 32)  # result
            self.adds += 1  # its address
        for _ in range(inputs):
            self.move(inputs * value / 8, value)
            self.adds += 1

    def membrane(self, neurons: int) -> None:
        self.move(neurons * 4, 32, 2)

    def send(self) -> None:
        self.move(1000 * (32 + self.of.payload) / 8, 32 + self.of.payload)

    def pj(self) -> float:
        # All memories here but the queue are far below 8 kB, where 10 pJ are for 8 kB.
        moved = sum(n * 10 * size / 8192 * bits / 32 for (size, bits), n in self.accesses.items())
        return moved + 0.1 * self.adds + self.of.multiply * self.multiplies


def simulated(name: str, alphabet: str) -> float:
    chip = Chip(hardware(name, alphabet))
    weights = (HIDDEN * OUT * chip.of.bits + OUT * 32) / 8
    chip.dense(IMAGE, HIDDEN)
    if not chip.of.clocked:
        for _ in range(OUT):  # biases wait in the membranes from the start
            chip.move(weights, 32)
            chip.membrane(OUT)
    for fired in SENT:
        for _ in range(HIDDEN):  # what the image gave is held, and arrives in every step
            chip.move(HIDDEN * 4, 32)
            chip.adds += 1
            chip.membrane(HIDDEN)
        for _ in fired:
            chip.adds += 1  # reset
            chip.send()
            chip.send()  # and read again
            for _ in range(OUT):
                chip.move(weights, chip.of.bits)
                chip.adds += 2  # address, accumulate
                if not chip.of.clocked:
                    chip.membrane(OUT)
        for _ in range(OUT):
            chip.adds += 1
            if chip.of.clocked:
                chip.move(weights, 32)
                chip.membrane(OUT)
    return chip.pj()


@pytest.mark.parametrize("alphabet", ["binary", "signed"])
@pytest.mark.parametrize("name", [name for name in models() if not name.startswith("operations")])
def test_models_with_memory_pay_for_every_event(name: str, alphabet: str) -> None:
    run = Run({"relu": float(SPIKES)}, {"first": 0.0, "second": float(SPIKES * OUT)}, T, alphabet)
    assert total(by_name(name).spiking(NETWORK, run)) == pytest.approx(simulated(name, alphabet))


@pytest.mark.parametrize("name", ["memory", "memory-clocked"])
def test_the_ann_pays_for_every_multiplication(name: str) -> None:
    chip = Chip(hardware(name, "binary"))
    chip.dense(IMAGE, HIDDEN)
    chip.dense(HIDDEN, OUT)
    assert total(by_name(name).ann(NETWORK)) == pytest.approx(chip.pj())
