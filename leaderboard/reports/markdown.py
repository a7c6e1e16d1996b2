"""The results as one Markdown page, from records alone: what was measured, and what it is worth.

A column of T holds the metric of the last read-out for which no more than T steps were run, steps
before the averaged ones included, so that recipes of every kind stand under the same budget.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import energy
from leaderboard.costs import break_even, precision, verdicts
from leaderboard.costs import lines as spent
from leaderboard.costs.at_parity import EXPLANATION, HEADING, parity_energy_table
from leaderboard.costs.order import has_figures, models_of, side_by_side
from leaderboard.files.atomic import write_text_atomically
from leaderboard.published import PublishedCurve, beside
from leaderboard.published.table import EVIDENCE, comparison_cells
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board
from leaderboard.ranking.parity_ratios import STEPS, parity_ratios
from leaderboard.ranking.rows import PooledPoint, Row
from leaderboard.records.record import Record

RULES = """\
**T** counts every step a network ran, also those before the averaged ones, as a mean over images; in brackets
the averaged steps where they differ. A column of T holds the metric of the last read-out within T steps.
**Gap** and **KL**: at the last read-out; KL is the mean divergence from the ANN's outputs, in nats. **T to
0.5**, **T to 1.0**: fewest measured steps from which on the metric stays within so many points of the ANN's
({never}: not reached). **Energy**: per image at T to 1.0, as a multiple of the ANN's, under the model named
({unknown}: no figure; {mark}: accuracy and energy of unlike precision, as the metric was measured with
weights of another width than the model charges: `precision: int8` measures what models with 8-bit weights
charge); no single model settles a comparison, so the verdicts under all of them follow. **#**: rank within
the group; "=": the test set does not tell it from the first (95 %, paired bootstrap). Groups do not compare:
their spikes differ in what they carry and cost."""


def write_report(path: str | Path, text: str) -> Path:
    """Write a report, all or nothing.

    Raises:
        StoreError: the file cannot be written.
    """
    target = Path(path)
    write_text_atomically(target, text)
    return target


def markdown_report(
    boards: Sequence[Board],
    *,
    command: str,
    published: Sequence[PublishedCurve] = (),
    divergence: bool = False,
    model: str | None = None,
) -> str:
    """Markdown page of all boards.

    Args:
        boards: from `leaderboard.ranking.boards.rank`.
        command: what made the page; stated in it.
        published: figures of papers, shown beside the same pairing.
        divergence: also a table of metric and KL divergence at every T.
        model: energy model that stands beside operations; None: operations with equal widths.
    """
    records = [record for board in boards for row in board.rows for record in row.records]
    parts = [
        "# Results",
        f"Made by `{wording.plain(command).replace('`', '')}`; not edited by hand.",
        _list(_circumstances(records)),
        RULES.format(never=wording.NEVER, unknown=wording.UNKNOWN, mark=precision.MARK),
    ]
    for board in boards:
        parts += [f"## {_text(board.title)}", _list(_limits(board)), *_group_tables(board, model)]
        parts += _ratio_table(board)
        parts += [
            *_energy_table(board),
            *_pair_table(board),
            *_verdict_table(board),
            *_lines_table(board, model),
            *_break_even_tables(board),
        ]
        parts += _divergence_table(board) if divergence else []
        parts += _published_table(board, published)
    return "\n\n".join(parts) + "\n"


def _circumstances(records: Sequence[Record]) -> list[str]:
    """Where and with what the records were measured."""
    if not records:
        return ["No records."]
    origins = [record.provenance for record in records]
    days = sorted(origin.created[:10] for origin in origins)
    commits = {f"{(o.git_commit or 'unknown')[:8]}{' with changes' if o.git_dirty else ''}" for o in origins}
    versions = sorted({f"{name} {version}" for o in origins for name, version in o.versions.items()})
    seconds = sum(origin.wall_time_s.get("cell", 0.0) for origin in origins)
    lines = [
        f"{len(records)} records, measured {days[0]}{f' to {days[-1]}' if days[-1] != days[0] else ''}",
        f"matrices: {_names(record.matrix for record in records)}",
        f"machine: {_names((origin.device for origin in origins), '; ')}",
        f"precision of the weights that spikes meet: {_names(origin.precision for origin in origins)}",
        f"simulated by: {_names(origin.backend or 'unknown' for origin in origins)}",
        f"software: {_names(versions)}; commit {_names(commits)}",
    ]
    return [*lines, f"time for all cells: {seconds / 3600:.1f} hours"] if seconds else lines


def _limits(board: Board) -> list[str]:
    """What the test set can tell."""
    lines = [_text(wording.heading(board))]
    records = [record for row in board.rows for record in row.records]
    if board.images is not None and all(_is_share_of_images(record) for record in records):
        lines.append(f"one test image is worth {100 / board.images:.2g} points")
    best = max(board.rows, key=lambda row: row.metric)
    if best.interval is not None:
        half = 50 * (best.interval.high - best.interval.low)
        lines.append(
            f"95 % interval of a metric as good as the best: ±{half:.1f} points; differences between recipes "
            "are known better than that, as all of them see the same images"
        )
    counts = {str(count) for r in records if (count := r.config.get("calibration_images")) is not None}
    calibration = f"{_names(counts)} calibration images; " if counts else ""
    return [*lines, f"{calibration}seeds: {', '.join(map(str, sorted({r.seed for r in records})))}"]


def _is_share_of_images(record: Record) -> bool:
    outcomes = record.outcomes
    return outcomes is not None and outcomes.measure == record.metric and outcomes.is_share


def _group_tables(board: Board, model: str | None) -> list[str]:
    columns = _columns(board)
    has_divergence = any(point.kl is not None for row in board.rows for point in row.curve)
    header = ["#", "recipe", "spikes", *(f"T={t}" for t in columns), "last T", "ANN", "gap"]
    first, second = side_by_side(model)
    models = [first, second] if has_figures([board], second) else [first]
    header += [
        "T to 0.5",
        "T to 1.0",
        *(f"energy, {each}" for each in models),
        *(["KL"] if has_divergence else []),
    ]
    parts = []
    for group in GROUPS:
        rows = [row for row in board.rows if row.group == group]
        if not rows:
            continue
        lines = []
        for row in rows:
            cells = [wording.place(row), row.label, wording.spikes(row)]
            cells += [_metric(row.within(t)) for t in columns]
            cells += [
                wording.total_steps(row.final_t_total, row.final_averaged),
                wording.percent(row.ann_metric),
            ]
            cells += [" ".join(filter(None, [wording.points(row.gap_points), wording.runs(row)]))]
            cells += [wording.steps(row, row.steps_within_half_point)]
            cells += [wording.steps(row, row.steps_within_1_point)]
            cells += [_energy(row, each) for each in models]
            cells += [_divergence(row.curve[-1] if row.curve else None)] if has_divergence else []
            lines.append(cells)
        title = f"{wording.GROUP_TITLES[group].capitalize()}, {_text(board.metric)} in %"
        parts += [f"### {title}", _table(header, lines, left=(1, 2))]
    return parts


def _energy(row: Row, model: str) -> str:
    return precision.marked(wording.parity_energy(row, row.energy_at_parity.get(model)), row, model)


def _lines_table(board: Board, model: str | None) -> list[str]:
    """Where the energy goes under the model that was asked for, or else one with memory."""
    chosen = spent.SHOWN if model in (None, energy.REFERENCE) else str(model)
    found = spent.lines_table(board, chosen) if has_figures([board], chosen) else None
    if found is None:
        return []
    header, lines = found
    return [f"### {spent.HEADING}", spent.explanation(chosen), _table(header, lines, left=(0,))]


def _pair_table(board: Board) -> list[str]:
    """Recipes measured in float32 and in int8."""
    found = precision.pair_table(board)
    if found is None:
        return []
    header, lines = found
    table = _table(header, lines, left=(0, 1))
    return [f"### {precision.PAIRS_HEADING}", precision.PAIRS_EXPLANATION, table]


def _energy_table(board: Board) -> list[str]:
    """Energy at both parities and at the end, under every model; the tables above have operations alone."""
    models = models_of([board])
    header, lines = parity_energy_table(board)
    ends = [
        [precision.marked(wording.times(row.final_energy.get(model)), row, model) for model in models]
        for row in board.rows
    ]
    whole = [line + end for line, end in zip(lines, ends, strict=True)]
    table = _table([*header, *(f"{model}, last T" for model in models)], whole, left=(0, 1))
    return [f"### {HEADING}", EXPLANATION, table]


def _verdict_table(board: Board) -> list[str]:
    """Which recipes cost less than their opponents, and under which models."""
    rows = verdicts.at_parity(board)
    if not rows:
        return []
    models, opponent = models_of([board]), verdicts.quantised_ann(board)
    header = ["recipe", "group", "less than the ANN under"]
    header += [] if opponent is None else [f"less than {_text(opponent.label)} under"]
    lines = []
    for row in rows:
        found = [verdicts.verdict(row, models)]
        found += [] if opponent is None else [verdicts.verdict(row, models, opponent)]
        lines.append([row.label, row.group, *map(str, found)])
    return [f"### {verdicts.HEADING}", verdicts.EXPLANATION, _table(header, lines, left=(0, 1, 2, 3))]


def _break_even_tables(board: Board) -> list[str]:
    """Spikes a synapse at which each recipe would cost what its opponents cost, model by model."""
    tables = [
        f"Model `{model}`:\n\n{_table(header, lines, left=(0, 1))}"
        for model, header, lines in break_even.break_even_tables(board)
    ]
    return [f"### {break_even.HEADING}", break_even.EXPLANATION, *tables] if tables else []


def _ratio_table(board: Board) -> list[str]:
    """How many times fewer steps than the slowest each recipe needs to parity, as papers claim speed."""
    found = {points: {each.label: each for each in parity_ratios(board, points)} for points in sorted(STEPS)}
    if len(next(iter(found.values()))) < 2:
        return []
    header = ["recipe", "group", *chain.from_iterable((f"T to {p}", "fewer steps") for p in found)]
    lines = []
    for row in board.rows:
        cells = [row.label, row.group]
        for each in (ratios.get(row.label) for ratios in found.values()):
            steps = None if each is None else each.steps
            cells += [
                wording.steps(row, steps),
                wording.NEVER if each is None else str(each),
            ]
        if row.alphabet != "none":
            lines.append(cells)
    explanation = (
        "How many times fewer steps than the slowest recipe here; ≥ where some recipe was not there yet when "
        "its run ended, and counts with the steps that it ran."
    )
    return ["### Time steps to parity, against the slowest", explanation, _table(header, lines, left=(0, 1))]


def _divergence_table(board: Board) -> list[str]:
    """Metric and divergence at every T, as ablations are shown: accuracy alone hides differences."""
    if all(point.kl is None for row in board.rows for point in row.curve):
        return []
    columns = _columns(board)
    lines = []
    for row in board.rows:
        points = [row.within(t) for t in columns]
        cells = [f"{_metric(p)} ({_divergence(p)})" if p is not None else "" for p in points]
        lines.append([row.label, row.group, *cells])
    title = f"### {_text(board.metric)} in % (KL divergence from the ANN in nats)"
    return [title, _table(["recipe", "group", *(f"T={t}" for t in columns)], lines, left=(0, 1))]


def _published_table(board: Board, published: Sequence[PublishedCurve]) -> list[str]:
    found = beside(board, published)
    if not found:
        return []
    header = ["recipe", "T", "paper, %", "its ANN, %", "its gap", "here, %", "gap here", "evidence", "source"]
    lines = [[*comparison_cells(each), _source(each.curve)] for each in found]
    explanation = (
        "Published on networks of the same name but other weights, and sometimes other widths: compare the "
        f"gaps to each one's own ANN. Not measured here, not ranked. {EVIDENCE}"
    )
    return ["### Published figures", explanation, _table(header, lines, left=(0, 7, 8))]


def _source(curve: PublishedCurve) -> str:
    return "; ".join(filter(None, [curve.paper, curve.source, curve.note]))


def _columns(board: Board) -> list[int]:
    """Powers of two up to the largest read-out."""
    last = max((point.t for row in board.rows for point in row.curve), default=1)
    return [2**power for power in range(last.bit_length())]


def _metric(point: PooledPoint | None) -> str:
    return "" if point is None else wording.percent(point.metric)


def _divergence(point: PooledPoint | None) -> str:
    return wording.UNKNOWN if point is None or point.kl is None else f"{point.kl:.3g}"


def _table(header: Sequence[str], lines: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    rule = [":---" if index in left else "---:" for index in range(len(header))]
    body = [[_text(cell) for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(header), rule, *body])


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _names(names: Iterable[str], between: str = ", ") -> str:
    return _text(between.join(sorted(set(names))))


def _text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*|\[\]~])", r"\\\1", wording.plain(text)).replace("<", "&lt;").replace(">", "&gt;")
