"""Rankings as flat entries, for programs: one a row, the same fields in JSON, CSV and data frames.

Fractions lie in [0, 1], points are percentage points, energies are multiples of the ANN's under the same
model; None where there is no figure, or parity was not reached. Bounds "_low" and "_high" of parity are
those of `parity_intervals`: a high one of None beside a low one means that more than 2.5 % of the resampled
test sets never reach it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from leaderboard.ranking.boards import Board
from leaderboard.ranking.parity_intervals import Bounds, ParityInterval
from leaderboard.ranking.rows import CLOSE_PARITY_POINTS, PARITY_POINTS, Row

Entry = dict[str, Any]


def entries(boards: Sequence[Board]) -> list[Entry]:
    """One entry a row, in the order of the boards; every entry has the same fields.

    Args:
        boards: from `leaderboard.ranking.boards.rank`, perhaps under a limit of T.
    """
    models = sorted({model for board in boards for row in board.rows for model in row.final_energy})
    return [_entry(board, row, models) for board in boards for row in board.rows]


def to_json(boards: Sequence[Board]) -> str:
    """Entries as a JSON list."""
    return json.dumps(entries(boards), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(boards: Sequence[Board]) -> str:
    """Entries as CSV with a head, as RFC 4180 has it; cells are separated by blanks.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    lines = [{**entry, "cells": " ".join(entry["cells"])} for entry in entries(boards)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(lines[0]) if lines else [], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in line.items()} for line in lines)
    return stream.getvalue()


def _entry(board: Board, row: Row, models: Sequence[str]) -> Entry:
    interval, gap = row.interval, row.gap_interval
    timeless = row.alphabet == "none"  # the levels of a quantised ANN are no time steps
    one, half = (row.resampled.interval(points, row.until) for points in (PARITY_POINTS, CLOSE_PARITY_POINTS))
    return {
        "task": board.task,
        "dataset": board.dataset,
        "network": board.network,
        "note": board.note,
        "benchmark_version": board.benchmark_version,
        "group": row.group,
        "rank": row.rank,
        "tied": row.tied,
        "recipe": row.label,
        "preset": row.method,
        "alphabet": row.alphabet,
        "max_per_step": row.max_per_step,
        "verdict": row.verdict,
        "division": row.division,
        "origin": row.origin,
        "simulated_by": row.backends,
        "seconds_to_convert": row.seconds_to_convert,
        "one_network_for_each_t": row.one_network_for_each_t,
        "seeds": len(row.records),
        "t": row.final_t_total,
        "averaged": row.final_averaged,
        "metric": board.metric,
        "value": row.metric,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "std": row.metric_std,
        "ann": row.ann_metric,
        "gap_points": row.gap_points,
        "gap_low": None if gap is None else gap.low,
        "gap_high": None if gap is None else gap.high,
        "t_to_1_point": None if timeless else row.steps_within_1_point,
        **_bounds("t_to_1_point", None if one is None or timeless else one.steps),
        "t_to_half_point": None if timeless else row.steps_within_half_point,
        **_bounds("t_to_half_point", None if half is None or timeless else half.steps),
        "synops": row.synops,
        "firing_rate": row.firing_rate,
        **{key: value for m in models for key, value in _energy_at_parity(row, m, one).items()},
        **{f"energy_{_name(m)}": row.final_energy.get(m) for m in models},
        "images": board.images,
        "cells": [record.cell_id for record in row.records],
    }


def _energy_at_parity(row: Row, model: str, interval: ParityInterval | None) -> Entry:
    key = f"energy_at_parity_{_name(model)}"
    bounds = None if interval is None else interval.energy.get(model)
    return {key: row.energy_at_parity.get(model), **_bounds(key, bounds)}


def _bounds(key: str, bounds: Bounds | None) -> Entry:
    return {
        f"{key}_low": None if bounds is None else bounds.low,
        f"{key}_high": None if bounds is None else bounds.high,
    }


def _name(model: str) -> str:
    return model.replace("-", "_").replace("+", "_")


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
