"""Studies: how tuned recipes were found, as data and as figures for the page.

    <folder>/tuning/<study id>.json

One file per study, written by `spikemark tune`. A file that does not hold a sound study is passed over
here; tuning writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from leaderboard import wording
from leaderboard.files import StoreError, write_text_atomically
from leaderboard.records import Frozen, Tuning

STUDY_SCHEMA_VERSION = 1
MOST_PARAMETERS = 8  # whose importance the page shows


class Trial(Frozen):
    """One trial, in the order in which they began."""

    state: Literal["complete", "pruned"]
    value: float | None  # of the objective; of the last read-out where it was pruned
    t: int | None  # last read-out
    values: dict[str, Any]  # parameters
    given: bool  # one that the study started with: the recipe's own values
    readings: dict[int, float]  # t -> objective
    seconds: float
    refused: str | None = None  # why nothing came of it
    repeats: int | None = None  # number of an earlier trial with the same values


class Study(Frozen):
    """One study: everything that was tried, and what came of it."""

    schema_version: int = STUDY_SCHEMA_VERSION
    matrix: str
    recipe: str  # label before tuning
    tuning: Tuning  # settings, cost and outcome
    maximise: bool
    best: dict[str, Any]  # parameters
    parts: dict[str, Any]  # of the recipe with the best parameters
    importance: dict[str, float]  # parameter -> share, by PED-ANOVA; empty where too few trials finished
    trials: list[Trial] = Field(min_length=1)
    created: str  # ISO 8601, UTC


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


def write_study(results: Path, study: Study) -> Path:
    """Write a study below a results folder, all or nothing.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = results / "tuning" / f"{study.tuning.study}.json"
    try:
        text = json.dumps(study.model_dump(), indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"refused to write {path}: {error}") from error
    write_text_atomically(path, text + "\n")
    return path


def load_studies(results: Path) -> list[Study]:
    """Every sound study of a results folder, by data set, network, recipe and seed."""
    found = []
    for path in filter(Path.is_file, sorted((results / "tuning").glob("*.json"))):
        try:
            study = parse_study(path.read_bytes())
        except OSError:
            continue
        if study is not None:
            found.append(study)
    return sorted(found, key=lambda s: (s.tuning.dataset, s.tuning.network, s.recipe, s.tuning.seed))


def parse_study(content: bytes) -> Study | None:
    """The study in the bytes of a file; None where there is no sound one."""
    try:
        study = Study.model_validate(json.loads(content.decode("utf-8")))
    except (ValueError, ValidationError, RecursionError):
        return None
    return study if study.schema_version == STUDY_SCHEMA_VERSION else None


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
        "yaxis": {"title": {"text": wording.plain(name)}, "type": scale, "automargin": True},
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
