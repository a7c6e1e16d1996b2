"""Break-even of rows: the spikes a synapse at which each would cost what its opponents cost.

Taken at 1-point parity, or at the last read-out where there is none; means over runs. Opponents are the
ANN, the quantised ANN with as many bits as the spikes can say, and both without their zeros, all under the
same model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import energy
from energy import EnergyModel, Network, NotMeasured, Quantised, Run
from energy.breakeven import OPPONENTS, BreakEven, break_even, opponents, silent_energy
from leaderboard.costs.order import models_of
from leaderboard.costs.precision import marked
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.rows import PARITY_POINTS, Row
from leaderboard.records.record import Point, Record
from leaderboard.statistics.energies import bits_of, network_of, run_of
from leaderboard.statistics.figures import final_point, parity_point

HEADING = "Break-even"
EXPLANATION = (
    "Spikes that may arrive a synapse and image until a recipe costs what the opponent costs under the same "
    "energy model, at its T to 1-point parity (in brackets: the last T, where it is not at parity). Behind "
    "it, how many times as many arrive: below 1× the spiking network costs less. never: the opponent costs "
    "less than a network that stays silent for T steps. The quantised ANN has 8-bit weights and activations "
    "of as many bits as the spikes can say. Without zeros: what is multiplied by zero is skipped; the "
    "quantised ANN is given the zeros of the ANN. What a record lacks the counts for is left out."
)


@dataclass(frozen=True)
class Standing:
    """One row under one model."""

    label: str  # marked where accuracy and energy are of unlike precision
    group: str
    t: float
    at_parity: bool
    spikes: float  # a synapse and image
    bits: int  # of the quantised ANN
    against: dict[str, Against]  # opponent -> where the row stands


@dataclass(frozen=True)
class Against:
    """Where a row stands against one opponent."""

    allowed: float | None  # spikes a synapse at break-even; None: never
    ratio: float  # energy as a multiple of the opponent's

    @classmethod
    def of(cls, runs: Sequence[BreakEven]) -> Against:
        """The mean over runs; never as soon as one of them never is."""
        allowed = [run.allowed for run in runs if run.allowed is not None]
        return cls(
            sum(allowed) / len(allowed) if len(allowed) == len(runs) else None,
            sum(run.ratio for run in runs) / len(runs),
        )


class Known:
    """What many records share, computed once for networks with the same counts."""

    def __init__(self) -> None:
        self._networks: dict[str, tuple[int, Network]] = {}  # by cell
        self._numbers: dict[Network, int] = {}  # comparing counts of a whole network takes long
        self._opponents: dict[tuple[str, int, int], dict[str, float]] = {}
        self._silent: dict[tuple[object, ...], float] = {}

    def network(self, record: Record) -> tuple[int, Network]:
        """Counts of a record, and a number that they alone have."""
        if record.cell_id not in self._networks:
            network = network_of(record)
            number = self._numbers.setdefault(network, len(self._numbers))
            self._networks[record.cell_id] = number, network
        return self._networks[record.cell_id]

    def opponents(self, model: EnergyModel, network: tuple[int, Network], bits: int) -> dict[str, float]:
        """Opponent -> picojoules an image."""
        key = (model.name, network[0], bits)
        if key not in self._opponents:
            self._opponents[key] = opponents(model, network[1], bits)
        return self._opponents[key]

    def silent(self, model: EnergyModel, network: tuple[int, Network], run: Run) -> float:
        """Picojoules an image if no neuron fired."""
        evaluated = frozenset(run.functions.items())
        key = (model.name, network[0], run.t, run.alphabet, run.max_per_step, evaluated)
        if key not in self._silent:
            self._silent[key] = silent_energy(model, network[1], run)
        return self._silent[key]


def standing(row: Row, model: str, known: Known | None = None) -> Standing | None:
    """Where a row stands under a model.

    Args:
        row: of a board.
        model: name of an energy model.
        known: shared by all rows that are asked for.

    Returns:
        None for the quantised ANN, which has no spikes, and where the model was not measured.
    """
    if row.alphabet == "none":
        return None
    points = [_point(record, row.until) for record in row.records]
    try:
        among = known or Known()
        runs = [_of_run(r, point, model, among) for r, (point, _) in zip(row.records, points, strict=True)]
    except NotMeasured:
        return None
    if not all(runs):
        return None
    common = [name for name in OPPONENTS if all(name in run for run in runs)]
    return Standing(
        label=marked(row.label, row, model),
        group=row.group,
        t=sum(point.t_total for point, _ in points) / len(points),
        at_parity=all(reached for _, reached in points),
        spikes=sum(next(iter(run.values())).spikes for run in runs) / len(runs),
        bits=max(bits_of(r, point) for r, (point, _) in zip(row.records, points, strict=True)),
        against={name: Against.of([run[name] for run in runs]) for name in common},
    )


def break_even_tables(board: Board) -> Iterable[tuple[str, list[str], list[list[str]]]]:
    """Model, header and lines of every model that some row was measured under."""
    known = Known()
    for model in models_of([board]):
        found = [each for row in board.rows if (each := standing(row, model, known)) is not None]
        names = [name for name in OPPONENTS if any(name in each.against for each in found)]
        if found and names:
            header = ["recipe", "group", "T", "bits", "spikes a synapse", *(OPPONENTS[n] for n in names)]
            yield model, header, [_line(each, names) for each in found]


def _line(each: Standing, names: Sequence[str]) -> list[str]:
    steps = wording.time_steps(each.t)
    return [
        each.label,
        each.group,
        steps if each.at_parity else f"({steps})",
        str(each.bits),
        f"{each.spikes:#.3g}".rstrip("."),
        *(_cell(each, each.against.get(name)) for name in names),
    ]


def _cell(each: Standing, against: Against | None) -> str:
    if against is None:
        return "not measured"
    if against.allowed is None:
        return "never"
    return f"{against.allowed:#.3g}".rstrip(".") + f" ({wording.times(each.spikes / against.allowed)})"


def _point(record: Record, until: int | None) -> tuple[Point, bool]:
    """The read-out at parity and True, or else the last one and False."""
    found = parity_point(record, PARITY_POINTS, until)
    if found is not None:
        return found, True
    last = final_point(record) if until is None else next(p for p in record.curve if p.t == until)
    return last, False


def _of_run(record: Record, point: Point, model: str, known: Known) -> dict[str, BreakEven]:
    run = run_of(record, point)
    assert not isinstance(run, Quantised)
    try:
        found = energy.by_name(model)
    except energy.UnknownModelError:  # of a record by a SpikeMark that had more models
        return {}
    network, bits = known.network(record), bits_of(record, point)
    against, silent = known.opponents(found, network, bits), known.silent(found, network, run)
    return break_even(found, network[1], run, bits, against, silent)
