"""Plots for papers with matplotlib, which is imported only here: metric over time steps, and over energy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import energy
from leaderboard.files.atomic import StoreError
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board, rank
from leaderboard.ranking.rows import PooledPoint, Row, pooled_interval
from leaderboard.records.record import Group, Record
from leaderboard.reports.energy_plot import draw_models
from leaderboard.statistics.figures import pareto_front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Over = Literal["time", "energy", "models"]
FORMATS = ("pdf", "png", "svg")
MOST_LINES = 8
PJ_PER_UJ = 1e6
COLOURS = ("#0b5cad", "#c4500a", "#00805a", "#a93a86", "#7d6000", "#2b8fcf", "#b3261e", "#4b4f56")
MARKERS = ("o", "s", "D", "^", "X", "P", "v", "*")
FRONT_STYLES: dict[Group, str] = {"binary": "-", "multi-level": "--", "retrained": ":"}
_STYLE: dict[Any, Any] = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}


def write_plots(
    boards: Sequence[Board],
    folder: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    model: str = energy.REFERENCE,
    most: int = MOST_LINES,
) -> list[Path]:
    """Draw every board: metric over time steps and over energy, and energy at parity under every model.

    Curves over time steps have 95 % bands, those over energy Pareto fronts.

    Args:
        boards: from `leaderboard.ranking.boards.rank`.
        folder: where the files go; missing folders are created.
        formats: of "pdf", "png", "svg".
        model: energy model of the second.
        most: rows drawn in colour, the best of each group in turn; at most 8, the others are grey.

    Returns:
        The files written.

    Raises:
        StoreError: a file cannot be written.
    """
    import matplotlib

    target = Path(folder)
    written = []
    with matplotlib.rc_context(_STYLE):
        for board in boards:
            for name, figure in (
                ("time", _over_time(board, most)),
                ("energy", _over_energy(board, model, most)),
                ("models", draw_models(board)),
            ):
                if figure is None:
                    continue
                for suffix in formats:
                    path = target / f"{_slug(board.title)}-{name}.{suffix}"
                    try:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        stamp = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix)
                        figure.savefig(path, dpi=200, metadata=stamp)
                    except OSError as error:
                        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
                    written.append(path)
    return written


def plot(
    records: Board | Iterable[Record],
    over: Over = "time",
    *,
    model: str = energy.REFERENCE,
    most: int = MOST_LINES,
) -> Figure:
    """Draw a board as a matplotlib figure, which notebooks show as it is.

    Args:
        records: loaded records of one board, or a board of `rank`.
        over: "time": metric over time steps, with 95 % bands; "energy": over energy, with Pareto fronts;
            "models": energy at parity under every model.
        model: energy model of the second.
        most: rows drawn in colour, at most 8.

    Raises:
        ValueError: the records are of no board or of several, no recipe is at parity, or `over` is unknown.
    """
    import matplotlib

    if over not in get_args(Over):
        raise ValueError(f"over: expected one of {', '.join(get_args(Over))}, got {over!r}")
    board = records if isinstance(records, Board) else _only_board(records)
    with matplotlib.rc_context(_STYLE):
        if over == "time":
            return _over_time(board, most)
        if over == "energy":
            return _over_energy(board, model, most)
        figure = draw_models(board)
    if figure is None:
        raise ValueError(
            f"{board.title}: no recipe is at 1-point parity, so there are no energies to compare"
        )
    return figure


def _only_board(records: Iterable[Record]) -> Board:
    boards = rank(records)
    if not boards:
        raise ValueError("there are no records to draw")
    if len(boards) > 1:
        titles = "; ".join(board.title for board in boards)
        raise ValueError(f"these records make {len(boards)} boards, draw one of rank(records): {titles}")
    return boards[0]


def best_of_groups(board: Board, most: int = MOST_LINES) -> list[Row]:
    """The best rows of a board, group by group in turn; of the references only the first."""
    queues = [[row for row in board.rows if row.group == group] for group in GROUPS]
    queues[-1] = queues[-1][:1]
    longest = max(map(len, queues), default=0)
    turns = [queue[place] for place in range(longest) for queue in queues if place < len(queue)]
    return turns[: min(most, len(COLOURS))]


def _over_time(board: Board, most: int) -> Figure:
    figure, axes = _figure(board)
    coloured = best_of_groups(board, most)
    for row in board.rows:
        _draw(axes, row, coloured, [(point.t_total, point) for point in row.curve], bands=True)
    if board.ann_metric is not None:
        axes.axhline(100 * board.ann_metric, color="black", linestyle="--", linewidth=1, label="ANN")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("time steps $T$")
    _legend(axes)
    return figure


def _over_energy(board: Board, model: str, most: int) -> Figure:
    figure, axes = _figure(board)
    coloured = best_of_groups(board, most)
    reached: dict[Group, list[tuple[float, float]]] = {}
    for row in board.rows:
        points = [(p.energy_pj[model] / PJ_PER_UJ, p) for p in row.curve if p.energy_pj.get(model)]
        _draw(axes, row, coloured, points, bands=False)
        if row.group in FRONT_STYLES:
            reached.setdefault(row.group, []).extend((x, 100 * p.metric) for x, p in points)
    for group, points_of_group in reached.items():
        front = [points_of_group[index] for index in pareto_front(points_of_group)]
        axes.step(
            *zip(*front, strict=True), where="post", color="0.5", linewidth=0.8, linestyle=FRONT_STYLES[group]
        )
    ann = board.ann_energy_pj.get(model)
    if board.ann_metric is not None and ann:
        axes.plot(ann / PJ_PER_UJ, 100 * board.ann_metric, "k*", markersize=9, label="ANN")
    axes.set_xscale("log")
    axes.set_xlabel(f"energy an image, µJ ({model} model)")
    _legend(axes)
    return figure


def _figure(board: Board) -> tuple[Figure, Any]:
    from leaderboard.reports.notebook import new_figure

    figure = new_figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylabel(f"{_text(wording.metric_name(board.metric))}, %")
    axes.set_title(_text(board.title), fontsize=8)
    axes.grid(color="0.92", linewidth=0.6)
    return figure, axes


def _draw(
    axes: Any, row: Row, coloured: Sequence[Row], points: Sequence[tuple[float, PooledPoint]], *, bands: bool
) -> None:
    x, y = [at for at, _ in points], [100 * point.metric for _, point in points]
    place = next((index for index, each in enumerate(coloured) if each is row), None)
    if place is None:
        axes.plot(x, y, color="0.8", linewidth=0.7, zorder=1)
        return
    colour = COLOURS[place]
    axes.plot(
        x, y, color=colour, marker=MARKERS[place], markersize=3.5, linewidth=1.2, label=_text(row.label)
    )
    bounds = [pooled_interval(row.records, point.t) for _, point in points] if bands else []
    known = [(at, bound) for at, bound in zip(x, bounds, strict=False) if bound is not None]
    if known:
        low, high = (
            [100 * value for value in pair] for pair in zip(*((b.low, b.high) for _, b in known), strict=True)
        )
        axes.fill_between([at for at, _ in known], low, high, color=colour, alpha=0.12, linewidth=0)


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _text(text: str) -> str:
    """A name that matplotlib does not take for mathematics, short enough to fit."""
    text = wording.in_figure(text)
    return text if len(text) <= 60 else text[:59] + "…"


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80] or "board"
