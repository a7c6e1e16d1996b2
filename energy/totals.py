"""All models at once: what a network costs under each model whose counts are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from energy.counts import Network, NotMeasured, Quantised, Run
from energy.model import Breakdowns, EnergyModel, total
from energy.registry import models


def ann_energies(network: Network, among: Iterable[EnergyModel] | None = None) -> dict[str, float]:
    """Model -> picojoules an image of the ANN; models whose counts are missing are left out.

    Args:
        network: counts of the network.
        among: the models; by default all that are registered.
    """
    return _totals(lambda model: model.ann(network), among)


def energies(
    network: Network, run: Run | Quantised, among: Iterable[EnergyModel] | None = None
) -> dict[str, float]:
    """Model -> picojoules an image of a spiking network up to a read-out, or of the quantised ANN."""
    return _totals(lambda model: breakdown(model, network, run), among)


def breakdown(model: EnergyModel, network: Network, run: Run | Quantised) -> Breakdowns:
    """Layer -> where its energy goes.

    Raises:
        NotMeasured: a count is missing.
    """
    return model.quantised(network, run) if isinstance(run, Quantised) else model.spiking(network, run)


def _totals(
    ask: Callable[[EnergyModel], Breakdowns], among: Iterable[EnergyModel] | None
) -> dict[str, float]:
    found = {}
    for model in models().values() if among is None else among:
        try:
            found[model.name] = total(ask(model))
        except NotMeasured:
            continue
    return found
