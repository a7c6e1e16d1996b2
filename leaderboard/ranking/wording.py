"""How figures are said, the same in the terminal and on the page.

The page's script writes numbers by the same rules (script/numbers.mjs); tests of both read the same cases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from leaderboard.ranking.rows import Row
from leaderboard.records.record import Group
from leaderboard.statistics.intervals import Difference, Interval

NEVER = "—"  # parity was not reached and kept at any measured number of steps
UNKNOWN = "n/a"  # the figure does not exist for this row
MINUS = "\N{MINUS SIGN}"

GROUP_TITLES: dict[Group, str] = {
    "binary": "binary spikes",
    "multi-level": "multi-level spikes",
    "retrained": "retrained networks",
    "baseline": "reference, not ranked",
}

_METRICS = {"top1": "Top-1 accuracy", "map": "mAP", "voc_map50": "VOC mAP50", "miou": "Mean IoU"}


def plain(text: str) -> str:
    """One line of printable characters, so that no name can steer a terminal or break a table."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def in_markdown(text: str) -> str:
    """The same where every character that Markdown would obey is shown as it is."""
    return re.sub(r"[\\`*|\[\]~_<>]", r"\\\g<0>", plain(text))


def in_figure(text: str) -> str:
    """The same where matplotlib takes nothing for mathematics."""
    return plain(text).replace("$", r"\$")


def spikes(row: Row) -> str:
    """What a spike can be and how many a neuron sends in a step, e.g. "burst ≤5"."""
    if row.alphabet == "none":
        return "no spikes"
    if row.alphabet == "signed":
        return f"signed ±{max(row.max_per_step, 1)}"
    bounded = row.alphabet in ("burst", "graded")
    return f"{row.alphabet} ≤{row.max_per_step}" if bounded else row.alphabet


def place(row: Row) -> str:
    """Rank within the group; "=" where rows that the test images do not tell apart share it."""
    return "" if row.rank is None else f"{row.rank}{'=' if row.tied else ''}"


def percent(fraction: float) -> str:
    """A fraction as a percentage with two digits, without the sign."""
    return f"{100 * fraction:.2f}"


def percent_range(interval: Interval | None) -> str:
    """Bounds of a fraction as percentages, e.g. "90.6–91.7"; empty if unknown."""
    return "" if interval is None else f"{100 * interval.low:.1f}–{100 * interval.high:.1f}"


def points(value: float) -> str:
    """Signed percentage points with two digits."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", MINUS)


def points_range(interval: Interval | None) -> str:
    """Bounds in percentage points; empty if unknown."""
    return "" if interval is None else f"{points(interval.low)} to {points(interval.high)}"


def difference_range(difference: Difference) -> str:
    """The interval of a difference, e.g. "95 %: −0.47 to +1.18"."""
    return f"95 %: {points(100 * difference.low)} to {points(100 * difference.high)}"


def time_steps(value: float) -> str:
    """A number of time steps: "16", or "5.4" where it is a mean over images or runs."""
    return f"{value:.1f}".removesuffix(".0")


def total_steps(total: float, averaged: float) -> str:
    """Every step run and, in brackets where they differ, the output steps that were averaged.

    Images that exit early run fewer steps than that, which "≤" says: "5.4 (≤64)".
    """
    if time_steps(total) == time_steps(averaged):
        return time_steps(total)
    return f"{time_steps(total)} ({'≤' if total < averaged else ''}{time_steps(averaged)})"


def steps(row: Row, value: float | None) -> str:
    """Time steps to parity; meaningless for a network without time."""
    if row.alphabet == "none":
        return UNKNOWN
    return NEVER if value is None else time_steps(value)


def parity_energy(row: Row, value: float | None) -> str:
    """Energy at parity as a multiple of the ANN's."""
    if value is None and row.steps_within_1_point is None:
        return NEVER
    return times(value)


def times(ratio: float | None) -> str:
    """A multiple with three significant digits and all of whole numbers, e.g. "0.123×", "1,234×"."""
    if ratio is None:
        return UNKNOWN
    if ratio >= 999.5:
        return f"{ratio:,.0f}×"
    exponent = int(f"{ratio:.2e}".partition("e")[2]) if ratio else 0
    return f"{ratio:.{2 - exponent}f}×"


def rate(value: float | None) -> str:
    """Spikes per neuron and step."""
    return UNKNOWN if value is None else f"{value:.3f}"


def runs(row: Row) -> str:
    """Spread over runs, e.g. "±0.12 (n=3)"; empty for a single run."""
    return "" if row.metric_std is None else f"±{percent(row.metric_std)} (n={len(row.records)})"


def metric_name(metric: str) -> str:
    """The name of a metric as papers write it; metrics of others keep theirs."""
    return _METRICS.get(metric, plain(metric))


def short_metric(metric: str) -> str:
    """The same for the head of a narrow column: "Top-1", "mAP", "mIoU"."""
    return {"top1": "Top-1", "miou": "mIoU"}.get(metric, metric_name(metric))


class Headed(Protocol):
    """What of a board its heading says."""

    @property
    def metric(self) -> str: ...  # noqa: D102
    @property
    def images(self) -> int | None: ...  # noqa: D102
    @property
    def ann_metric(self) -> float | None: ...  # noqa: D102
    @property
    def ann_metric_std(self) -> float | None: ...  # noqa: D102
    @property
    def rows(self) -> Sequence[Row]: ...  # noqa: D102


def heading(board: Headed, *, in_full: bool = False) -> str:
    """The ANN's metric, those of ANNs trained for conversion, and the size of the test set."""
    if board.ann_metric is None:
        ann = "no common ANN"
    else:
        spread = "" if board.ann_metric_std is None else f" ±{percent(board.ann_metric_std)}"
        metric = metric_name(board.metric) if in_full else plain(board.metric)
        ann = f"ANN {metric} {percent(board.ann_metric)}{spread} %"
    if retrained := sorted({percent(row.ann_metric) for row in board.rows if row.own_ann}):
        ann += f", trained for conversion {', '.join(retrained)} %"
    return ann if board.images is None else f"{ann} · {board.images:,} test images"
