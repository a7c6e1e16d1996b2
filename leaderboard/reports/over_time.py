"""A board over time, as a table of Markdown: what stands behind a claim on steps or energy to parity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import energy
from leaderboard.costs.order import MATCHED
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.parity_ratios import parity_ratios
from leaderboard.ranking.rows import Row
from leaderboard.ranking.wording import in_markdown

MODELS = (energy.REFERENCE, MATCHED, "memory")
_DAGGER = " ‡"  # accuracy and energy of unlike precision, as in every other report


def over_time(board: Board) -> str:
    """A heading and a table: metric at each T, steps to parity, energy there and at the last T.

    Columns of T are the powers of two at which some recipe was read out; a cell is the recipe's last read-out
    within T steps of all that it ran, and empty where that is an earlier column's. Energies are multiples of
    the ANN's.
    """
    rows = sorted(board.rows, key=lambda row: row.alphabet == "none")
    columns = _columns(rows)
    head = ["recipe", "spikes", *(f"T={t}" for t in columns), "T to 1.0", "T to 0.5", "fewer steps"]
    head += [f"`{model}`{_DAGGER if model == MATCHED else ''}" for model in MODELS]
    head.append(f"last T: `{energy.REFERENCE}`")
    ratios = {entry.label: str(entry) for entry in parity_ratios(board)}
    heading = in_markdown(wording.heading(board, in_full=True))
    lines = [f"**{in_markdown(board.title)}** ({heading}{_seeds(rows)}):", ""]
    lines += [f"| {' | '.join(head)} |", f"| :--- | :--- |{' ---: |' * (len(head) - 2)}"]
    for row in rows:
        spiking = row.alphabet != "none"
        cells = [f"`{in_markdown(row.label)}`", wording.spikes(row), *_metrics(row, columns)]
        cells += [
            wording.steps(row, row.steps_within_1_point),
            wording.steps(row, row.steps_within_half_point),
        ]
        cells.append(ratios.get(row.label, wording.NEVER) if spiking else wording.UNKNOWN)
        cells += [wording.parity_energy(row, row.energy_at_parity.get(model)) for model in MODELS]
        last = wording.total_steps(row.final_t_total, row.final_averaged)
        cells.append(f"{last}: {wording.times(row.final_energy.get(energy.REFERENCE))}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _columns(rows: Sequence[Row]) -> list[int]:
    last = max((point.t for row in rows if row.alphabet != "none" for point in row.curve), default=1)
    read_out = {point.t for row in rows for point in row.curve}
    return [1 << power for power in range(last.bit_length()) if 1 << power in read_out]


def _metrics(row: Row, columns: Sequence[int]) -> Iterator[str]:
    before = 0.0
    for t in columns:
        point = row.within(t)
        yield "" if point is None or point.t_total <= before else f"{100 * point.metric:.1f}"
        before = t


def _seeds(rows: Sequence[Row]) -> str:
    counts = sorted({len(row.seeds) for row in rows})
    return f" · trainings: {' or '.join(map(str, counts))}" if counts[-1:] > [1] else " · one training"
