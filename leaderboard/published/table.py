"""Published figures in a terminal: beside a board, or on their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leaderboard.published.curves import PublishedCurve
from leaderboard.published.pairing import Comparison
from leaderboard.ranking import wording

EVIDENCE = (
    "read: in the source named; abstract: in the paper's abstract alone; "
    "quoted: the source quotes somebody else."
)


def comparison_table(found: Sequence[Comparison]) -> Table:
    """One line a published figure: the paper's metric and gap, and what was measured here."""
    table = _table()
    table.add_column("published", overflow="fold", min_width=12)
    for name in ("T", "paper\n%", "its ANN\n%", "its gap\npoints", "here\n%", "gap here\npoints"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in found:
        table.add_row(*(Text(wording.plain(cell)) for cell in comparison_cells(each)))
    return table


def comparison_cells(each: Comparison) -> list[str]:
    """Recipe, T, the paper's metric, ANN and gap, metric and gap measured here, and the evidence."""
    curve, point = each.curve, each.measured
    return [
        curve.label,
        published_steps(curve, each.t),
        f"{each.metric:.2f}",
        optional(curve.ann),
        optional_points(curve.gap(each.t)),
        "" if point is None else wording.percent(point.metric),
        "" if point is None else optional_points(each.measured_gap),
        curve.evidence,
    ]


def render_published(curves: Sequence[PublishedCurve], console: Console) -> None:
    """Print published curves by task, data set and network, one line a curve.

    Args:
        curves: from `load_published`, perhaps through `select_published`.
        console: where to print.
    """
    if not curves:
        console.print("Nothing published is known of that.")
        return

    def pairing(curve: PublishedCurve) -> tuple[str, str, str, str]:
        return curve.task, curve.dataset, curve.network or "network not stated", curve.metric

    for (task, dataset, network, metric), members in groupby(sorted(curves, key=pairing), pairing):
        console.print()
        console.print(Text(f"{dataset} · {network} ({task})", style="bold"))
        table = _table()
        table.add_column("recipe", overflow="fold", min_width=11)
        table.add_column("ANN\n%", justify="right", no_wrap=True)
        table.add_column(f"{metric} %\nT: value", overflow="fold", min_width=16)
        table.add_column("source", overflow="fold")
        table.add_column("", no_wrap=True)
        for curve in members:
            points = ", ".join(f"{published_steps(curve, t)}: {value:.2f}" for t, value in curve.at.items())
            source = f"{curve.source} ({curve.note})" if curve.note else curve.source
            cells = [curve.label, optional(curve.ann), points, source, curve.evidence]
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    console.print(Text("T: every step run, in brackets those that the paper counts where they differ;"))
    console.print(Text(f"{wording.UNKNOWN}: not stated. {EVIDENCE}", style="dim"))


def published_steps(curve: PublishedCurve, t: int | None) -> str:
    """T as measurements show it: every step run, and in brackets those that the paper counts."""
    return wording.UNKNOWN if t is None else wording.total_steps(curve.steps_before + t, t)


def optional(value: float | None) -> str:
    """A percentage with two digits, or that it is not known."""
    return wording.UNKNOWN if value is None else f"{value:.2f}"


def optional_points(value: float | None) -> str:
    """Signed percentage points, or that they are not known."""
    return wording.UNKNOWN if value is None else wording.points(value)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
