"""Studies as the page shows them: titles, the most important parameters, and a plot of all trials."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.store.studies import Study

MOST_PARAMETERS = 8  # whose importance the page shows


@dataclass(frozen=True)
class StudyView:
    """A study as the page shows it."""

    study: Study
    title: str
    best: list[tuple[str, str]]  # parameter, value
    importance: list[tuple[str, float]]  # most important first

    @property
    def gained(self) -> bool:
        """Whether other values than the recipe's own were best."""
        return self.study.tuning.default is None or self.study.tuning.value != self.study.tuning.default


def ranked(importance: Mapping[str, float]) -> list[tuple[str, float]]:
    """Parameters and their shares, most important first."""
    return sorted(importance.items(), key=lambda item: (-item[1], item[0]))


def views(studies: Sequence[Study]) -> list[StudyView]:
    """Studies with their titles and most important parameters."""
    return [
        StudyView(
            study,
            f"{study.recipe} on {study.tuning.dataset} / {study.tuning.network}, seed {study.tuning.seed}",
            [(name, _short(value)) for name, value in study.best.items()],
            [item for item in ranked(study.importance) if item[1] > 0][:MOST_PARAMETERS],
        )
        for study in studies
    ]


def history(study: Study) -> dict[str, Any]:
    """Plot of the objective over trials: finished, pruned, and the best so far.

    "meta" names colours that the page chooses for its light or dark ground.
    """
    numbers: dict[str, list[tuple[int, float]]] = {"complete": [], "pruned": []}
    best: list[tuple[int, float]] = []
    for number, trial in enumerate(study.trials, start=1):
        if trial.value is None:
            continue
        numbers[trial.state].append((number, trial.value))
        if trial.state == "complete":
            choose = max if study.maximise else min
            best.append((number, choose([trial.value, *(value for _, value in best[-1:])])))
    traces = [
        _trace("best so far", best, {"mode": "lines", "line": {"shape": "hv", "width": 2}}, "text"),
        _trace("finished", numbers["complete"], {"mode": "markers", "marker": {"size": 8}}, 0),
    ]
    if numbers["pruned"]:
        marker = {"symbol": "x", "size": 7}
        traces.append(_trace("pruned", numbers["pruned"], {"mode": "markers", "marker": marker}, "muted"))
    values = [trial.value for trial in study.trials if trial.value is not None]
    scale = "log" if not study.maximise and values and min(values) > 0 else "linear"
    name = "KL divergence from the ANN, nats" if study.tuning.objective == "kl" else study.tuning.objective
    layout = {
        "xaxis": {"title": {"text": "trial", "standoff": 8}, "automargin": True, "zeroline": False},
        # plotly reads a little HTML in its texts.
        "yaxis": {"title": {"text": html.escape(name, quote=False)}, "type": scale, "automargin": True},
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def _trace(
    name: str, points: list[tuple[int, float]], style: dict[str, Any], colour: int | str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "x": [number for number, _ in points],
        "y": [value for _, value in points],
        "hovertemplate": "trial %{x}<br>%{y:.4g}<extra></extra>",
        "meta": {"colour": colour},
        **style,
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
