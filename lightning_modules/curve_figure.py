"""A metric over time steps with matplotlib, which is imported with this module."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

COLOUR = "#0b5cad"


class NotebookFigure(Figure):
    """A figure that a notebook shows as the value of a cell, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=150)
        return stream.getvalue()


def curve_figure(metric: str, points: Sequence[tuple[float, float]], ann: float) -> Figure:
    """Draw one curve.

    Args:
        metric: its name.
        points: (time steps run, metric), in order.
        ann: the same metric of the ANN.
    """
    figure = NotebookFigure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*points, strict=True), color=COLOUR, marker="o", markersize=3.5, label="SNN")
    axes.axhline(ann, color="black", linestyle="--", linewidth=1, label="ANN")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("time steps $T$")
    axes.set_ylabel(metric.replace("$", r"\$"))
    axes.grid(color="0.92", linewidth=0.6)
    axes.legend(frameon=False)
    return figure
