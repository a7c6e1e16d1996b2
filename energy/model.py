"""What every energy model is: counts in, picojoules by layer and line out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from energy.counts import Network, Quantised, Run


@dataclass(frozen=True)
class Breakdown:
    """Where the energy of one layer goes, in picojoules an image; a line that a model leaves out is 0."""

    neurons: float = 0.0  # updates of neurons
    functions: float = 0.0  # evaluations of functions, see `energy.functions`
    operations: float = 0.0  # additions and multiplications at synapses
    addressing: float = 0.0
    weights: float = 0.0
    inputs_outputs: float = 0.0
    membrane: float = 0.0

    @property
    def total(self) -> float:
        """Everything together."""
        return sum(vars(self).values(), 0.0)

    def __add__(self, other: Breakdown) -> Breakdown:
        return Breakdown(  # line by line: boards of many records add millions of these
            self.neurons + other.neurons,
            self.functions + other.functions,
            self.operations + other.operations,
            self.addressing + other.addressing,
            self.weights + other.weights,
            self.inputs_outputs + other.inputs_outputs,
            self.membrane + other.membrane,
        )

    def times(self, n: float) -> Breakdown:
        """The same, `n` times."""
        return Breakdown(*(line * n for line in vars(self).values()))


Breakdowns = dict[str, Breakdown]  # layer, source of spikes or function -> where its energy goes


def together(*several: Mapping[str, Breakdown]) -> Breakdowns:
    """All parts; what one name stands for in several of them is added."""
    found: Breakdowns = {}
    for parts in several:
        for name, part in parts.items():
            found[name] = found[name] + part if name in found else part
    return found


@dataclass(frozen=True)
class EnergyModel(ABC):
    """Base of all models. Parameters are fields, so that every assumption can be seen and changed.

    Energies of a spiking network are affine in its spikes: break-even is computed from that.

    Attributes:
        name: how the model is called.
        summary: one line on what it assumes.
        source: where its table and its equations were published.
        leaves_out: what it charges to no network.
    """

    source: ClassVar[str]
    leaves_out: ClassVar[str]

    name: str
    summary: str

    @property
    def spiking_weight_bits(self) -> int:
        """Width of the weights that a spiking network is charged for; its accuracy belongs to this width."""
        return 32

    @abstractmethod
    def ann(self, network: Network, *, skip_zeros: bool | None = None) -> Breakdowns:
        """Energy of the ANN as it was trained, for one image.

        Args:
            network: its counts.
            skip_zeros: whether it leaves out what is multiplied by zero; None: as the model has it.

        Raises:
            NotMeasured: a count is missing.
        """

    @abstractmethod
    def quantised(self, network: Network, run: Quantised, *, skip_zeros: bool | None = None) -> Breakdowns:
        """Energy of the quantised ANN for one image; arguments and errors as for `ann`.

        Where `run` lacks its own zeros, those of the ANN stand for them: rounding only adds to them.
        """

    @abstractmethod
    def spiking(self, network: Network, run: Run) -> Breakdowns:
        """Energy of a spiking network for one image up to a read-out; errors as for `ann`."""


def total(parts: Mapping[str, Breakdown]) -> float:
    """Picojoules of all layers together."""
    return sum(part.total for part in parts.values())
