"""Figures that notebooks show; matplotlib is imported with this module."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that a notebook shows as the value of a cell, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=150)
        return stream.getvalue()


def new_figure(**options: Any) -> Figure:
    """An empty figure; options are those of matplotlib's."""
    return NotebookFigure(**options)
