"""Break-even: how many spikes a synapse may see until a spiking network costs what its opponent costs.

With T and everything else as measured, energy is affine in the number of spikes in every model. So
two evaluations, without spikes and as measured, give the number at which it equals any other energy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from energy.counts import Network, NotMeasured, Quantised, Run
from energy.model import Breakdowns, EnergyModel, total

OPPONENTS = {
    "ann": "ANN",
    "quantised": "quantised ANN",
    "ann-sparse": "ANN without zeros",
    "quantised-sparse": "quantised ANN without zeros",
}


@dataclass(frozen=True)
class BreakEven:
    """Where one spiking network stands against one opponent under one model."""

    opponent: str  # of `OPPONENTS`
    spikes: float  # a synapse and image, as measured
    allowed: (
        float | None
    )  # at which both cost the same; None: the opponent costs less than this network without spikes
    ratio: float  # energy as a multiple of the opponent's

    @property
    def distance(self) -> float | None:
        """Spikes as a multiple of the allowed ones; below 1 the spiking network costs less."""
        return None if not self.allowed else self.spikes / self.allowed


def spikes_per_synapse(network: Network, run: Run) -> float | None:
    """Synaptic operations over synapses, of the layers that spikes drive; None where none is."""
    driven = [layer for layer in network.layers if layer.drive in ("spikes", "mixed")]
    synapses = sum(layer.macs for layer in driven)
    if not synapses:
        return None
    return sum(run.synops.get(layer.name, 0.0) for layer in driven) / synapses


def opponents(model: EnergyModel, network: Network, bits: int) -> dict[str, float]:
    """Picojoules an image of every opponent whose counts are known, without those that cost nothing.

    Args:
        model: the energy model.
        network: counts of network and ANN.
        bits: activations of the quantised ANN, see `counts.matched_bits`.
    """
    quantised = Quantised(bits)
    ask: dict[str, Callable[[], Breakdowns]] = {
        "ann": lambda: model.ann(network, skip_zeros=False),
        "quantised": lambda: model.quantised(network, quantised, skip_zeros=False),
        "ann-sparse": lambda: model.ann(network, skip_zeros=True),
        "quantised-sparse": lambda: model.quantised(network, quantised, skip_zeros=True),
    }
    found = {}
    for name, parts in ask.items():
        with suppress(NotMeasured):
            if energy := total(parts()):
                found[name] = energy
    return found


def silent_energy(model: EnergyModel, network: Network, run: Run) -> float:
    """Picojoules an image of the spiking network if none of its neurons ever fired."""
    return total(model.spiking(network, run.scaled(0.0)))


def break_even(
    model: EnergyModel,
    network: Network,
    run: Run,
    bits: int,
    against: Mapping[str, float] | None = None,
    silent: float | None = None,
) -> dict[str, BreakEven]:
    """Break-even against every opponent whose counts are known.

    Args:
        model: the energy model.
        network: counts of network and ANN.
        run: the spiking network up to a read-out.
        bits: activations of the quantised ANN that says as much, see `counts.matched_bits`.
        against: the `opponents`, where they are known already.
        silent: the `silent_energy`, likewise.

    Returns:
        Opponent -> where the network stands; without opponents that were not measured.

    Raises:
        NotMeasured: the model lacks counts of the spiking network.
    """
    spikes = spikes_per_synapse(network, run)
    if not spikes:
        return {}
    silent = silent_energy(model, network, run) if silent is None else silent
    energy = total(model.spiking(network, run))
    found = {}
    for name, theirs in (opponents(model, network, bits) if against is None else against).items():
        # Spikes that cost nothing beside the rest have no break-even.
        allowed = spikes * (theirs - silent) / (energy - silent) if energy > silent else 0.0
        found[name] = BreakEven(name, spikes, allowed if allowed > 0 else None, energy / theirs)
    return found
