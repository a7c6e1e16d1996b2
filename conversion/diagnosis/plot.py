"""Draw a diagnosis: the error over depth, its parts, and spikes of neurons that should have been silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conversion.diagnosis.error_parts import ErrorParts, LayerError

# Told apart with any colour vision (Okabe and Ito).
_COLOURS = {"clipping": "#0072B2", "quantisation": "#E69F00", "input": "#999999", "unevenness": "#D55E00"}
_MOST_LABELS = 60  # more layer names than this do not fit beside each other


def check_format(path: str | Path) -> None:
    """Refuse, before any work is done, a file that could not be drawn.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no image format is known by this suffix.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install matplotlib") from error
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix.lower().lstrip(".") not in known:
        raise ValueError(f"cannot draw {path}: the suffix must be one of {', '.join(known)}")


def draw(rows_at: Mapping[int, list[LayerError]], title: str, path: str | Path) -> None:
    """Write a figure of three panels that share the layers as their x axis.

    Relative error with one line a time step; the parts of the error at the last time step, as mean
    absolute values over the mean activation, stacked; and the SIN ratio with one line a time step.

    Args:
        rows_at: the layers at every time step, first layer first; time steps in order.
        title: above all panels.
        path: image file; its suffix is the format.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no image format is known by this suffix.
    """
    check_format(path)
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    last = list(rows_at.values())[-1]
    figure = Figure(figsize=(max(7.0, 2.5 + 0.24 * min(len(last), _MOST_LABELS)), 9.0), layout="constrained")
    errors, parts, silent = figure.subplots(3, 1, sharex=True)
    shades = colormaps["viridis_r"]
    for index, (t, rows) in enumerate(rows_at.items()):
        depth = [row.depth for row in rows]
        style = {
            "color": shades(0.1 + 0.85 * (index + 1) / len(rows_at)),
            "marker": "o",
            "markersize": 3,
            "label": f"t = {t}",
        }
        errors.plot(depth, [row.relative_error for row in rows], **style)
        silent.plot(depth, [row.sin_neurons for row in rows], **style)
    _stack(parts, last)

    figure.suptitle(title)
    _label(errors, "error", "Relative error ‖r − a‖ / ‖a‖")
    _label(parts, "mean |part| / mean a", f"Parts of the error at t = {last[0].t}")
    _label(silent, "share of neurons with a ≤ 0", "SIN ratio: neurons that should be silent but are not")
    stride = -(-len(last) // _MOST_LABELS)
    silent.set_xticks([row.depth for row in last[::stride]], [row.layer for row in last[::stride]])
    silent.tick_params(axis="x", labelrotation=90, labelsize=8 if len(last) <= 30 else 7)
    silent.set_xlim(0.4, len(last) + 0.6)
    figure.savefig(path, dpi=150)


def _stack(axes: Any, rows: list[LayerError]) -> None:
    depth = [row.depth for row in rows]
    below = [0.0] * len(rows)
    for name in ErrorParts.__dataclass_fields__:
        # A layer that is silent in the ANN has nothing to relate its error to.
        heights = [getattr(row.absolute, name) / row.ann_mean if row.ann_mean else 0.0 for row in rows]
        axes.bar(depth, heights, bottom=below, width=0.8, color=_COLOURS[name], label=name)
        below = [low + height for low, height in zip(below, heights, strict=True)]


def _label(axes: Any, unit: str, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.set_axisbelow(True)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
