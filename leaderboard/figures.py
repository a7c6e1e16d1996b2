"""Plot specifications as plain dictionaries, so that drawing needs no import of plotly.

A figure also carries "near": the range of the metric axis, in percent, of a closer view around the ANN,
because half a point cannot be seen on an axis that starts at chance level.

Colours are numbers here ("meta": {"colour": 0}); the page turns them into colours for a light or a
dark background. Colour never stands alone: marker and dash differ as well. A line that belongs to a
fairness group names it ("meta": {"group": "binary"}), so that the page can leave the group out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from leaderboard import wording
from leaderboard.ranking import Board
from leaderboard.records import Group
from leaderboard.rows import Row, curve_of
from leaderboard.statistics import OPERATIONS, pareto_front

COLOURS = 6  # of each palette in page.js
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot")
FRONT_DASHES: dict[Group, str] = {"binary": "solid", "multi-level": "dash", "retrained": "dot"}
PJ_PER_UJ = 1e6
LONGEST_NAME = 26
MOST_TICKS = 10
NEAR_POINTS = 5.0  # percentage points below the ANN that the closer view shows

Figure = dict[str, Any]


def metric_over_time(board: Board) -> Figure:
    """Ranking metric (%) against time steps run (log2), one line per recipe, the ANN dashed."""
    curves = [(index, row, curve_of(row)) for index, row in enumerate(board.rows)]
    times = [point.t for _, _, curve in curves for point in curve]
    low, high = min(times), max(*times, 2 * min(times))
    traces = []
    for index, row, curve in curves:
        x: list[float] = [point.t for point in curve]
        y = [100 * point.metric for point in curve]
        timeless = row.alphabet == "none" and len(curve) == 1
        if timeless:  # no time axis of its own: a line across, as for the ANN
            x, y = [low, high], y * 2
        trace = _line(index, row, x, y, "T = %{x:,.1~f}<br>%{y:.2f} %")
        traces.append(trace | {"mode": "lines", "line": {"dash": "dot", "width": 2}} if timeless else trace)
    if board.ann_metric is not None:
        traces.append(_ann_line(board.ann_metric, low, high))
    ticks = [2**power for power in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    axis = {"type": "log", "tickvals": ticks, "ticktext": [str(tick) for tick in ticks]}
    return {"data": traces, "layout": _layout(board, axis, "time steps T"), "near": _near(board)}


def metric_over_energy(board: Board, model: str = OPERATIONS) -> Figure:
    """Ranking metric (%) against energy an image (µJ, log), with each group's Pareto front and the ANN."""
    traces: list[dict[str, Any]] = []
    reached: dict[Group, list[tuple[float, float]]] = {}
    for index, row in enumerate(board.rows):
        curve = [(p.energy_pj[model] / PJ_PER_UJ, p) for p in curve_of(row) if p.energy_pj.get(model)]
        if not curve:
            continue
        y = [100 * point.metric for _, point in curve]
        trace = _line(index, row, [energy for energy, _ in curve], y, "%{x:.3g} µJ<br>%{y:.2f} %")
        if row.alphabet != "none":
            trace["customdata"] = [wording.total_steps(point.t, point.averaged) for _, point in curve]
            trace["hovertemplate"] = (
                "%{fullData.name}<br>T = %{customdata}, %{x:.3g} µJ<br>%{y:.2f} %<extra></extra>"
            )
            reached.setdefault(row.group, []).extend((energy, 100 * point.metric) for energy, point in curve)
        traces.append(trace)
    traces[:0] = [_front(group, points) for group, points in reached.items()]
    ann_energy_pj = board.ann_energy_pj.get(model)
    if board.ann_metric is not None and ann_energy_pj:
        traces.append(_ann_star(board.ann_metric, ann_energy_pj))
    axis = {"type": "log"} | _decimal_ticks([x for trace in traces for x in trace["x"]])
    return {"data": traces, "layout": _layout(board, axis, "energy per image, µJ"), "near": _near(board)}


def _line(index: int, row: Row, x: list[float], y: list[float], hover: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": _text(row.label),
        "x": x,
        "y": y,
        "line": {"width": 2, "dash": DASHES[index // COLOURS % len(DASHES)]},
        "marker": {"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
        "hovertemplate": "%{fullData.name}<br>" + hover + "<extra></extra>",
        "meta": {"colour": index % COLOURS, "group": row.group},
    }


def _ann_line(metric: float, low: float, high: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"ANN {wording.percent(metric)} %",
        "x": [low, high],
        "y": [100 * metric] * 2,
        "line": {"dash": "dash", "width": 2},
        "hovertemplate": "%{fullData.name}<extra></extra>",
        "meta": {"colour": "text"},
    }


def _ann_star(metric: float, energy_pj: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "ANN",
        "x": [energy_pj / PJ_PER_UJ],
        "y": [100 * metric],
        "marker": {"symbol": "star", "size": 15},
        "hovertemplate": "ANN<br>%{x:.3g} µJ<br>%{y:.2f} %<extra></extra>",
        "meta": {"colour": "text"},
    }


def _front(group: Group, reached: Sequence[tuple[float, float]]) -> dict[str, Any]:
    front = [reached[index] for index in pareto_front(reached)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"Pareto front, {group}",
        "x": [energy for energy, _ in front],
        "y": [metric for _, metric in front],
        "line": {"shape": "hv", "width": 1, "dash": FRONT_DASHES[group]},
        "marker": {"symbol": "circle-open", "size": 16, "line": {"width": 1.5}},
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {"colour": "muted", "group": group},
    }


def _near(board: Board) -> list[float]:
    reached = [100 * row.metric for row in board.rows]
    ann = max(reached) if board.ann_metric is None else 100 * board.ann_metric
    return [ann - NEAR_POINTS, max(ann, *reached) + NEAR_POINTS / 10]


def _decimal_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Ticks at 1, 2, 5 times powers of ten, or at powers of ten alone if those would be many."""
    if not values:
        return {}
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if min(values) / 2 <= tick <= max(values) * 2]
    if len(ticks) > MOST_TICKS:
        ticks = [10.0**power for power in powers]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _layout(board: Board, x_axis: dict[str, Any], title: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": title, "standoff": 8}, "automargin": True, "zeroline": False} | x_axis,
        "yaxis": {
            "title": {"text": f"{_text(board.metric)}, %"},
            "automargin": True,
            "zeroline": False,
        },
        "hovermode": "closest",
    }


def _text(text: str) -> str:
    """A name for plotly, which reads a little HTML in its texts: escaped, and short enough to fit."""
    text = wording.plain(text)
    if len(text) > LONGEST_NAME:
        text = text[: LONGEST_NAME - 1] + "…"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
