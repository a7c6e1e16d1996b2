"""Studies: how tuned recipes were found, as data.

    <folder>/tuning/<study id>.json

One file per study, written by `spikemark tune`. A file that does not hold a sound study is passed over
here; tuning writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from leaderboard.files.atomic import StoreError, write_text_atomically
from leaderboard.records.record import Frozen, Tuning

STUDY_SCHEMA_VERSION = 1


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
