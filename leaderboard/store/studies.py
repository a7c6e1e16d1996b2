"""Studies: how tuned recipes were found, as data.

    <folder>/tuning/<study id>.json

One file per study, written by `spikemark tune`. A file that does not hold a sound study is passed over
here; tuning writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from leaderboard.files.atomic import StoreError, write_text_atomically
from leaderboard.files.plain_files import LARGEST, read_plain
from leaderboard.records.fields import Cost, Count, Integer, Line, Number, Steps, Text, Time, not_plain
from leaderboard.records.record import Frozen, Tuning

STUDY_SCHEMA_VERSION = 1
MOST_TRIALS = 100_000


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    if reason := not_plain(values):
        raise PydanticCustomError("plain", "{reason}", {"reason": reason})
    return values


Parameters = Annotated[dict[str, Any], AfterValidator(_plain)]


class Trial(Frozen):
    """One trial, in the order in which they began."""

    state: Literal["complete", "pruned"]
    value: Number | None  # of the objective; of the last read-out where it was pruned
    t: Steps | None  # last read-out
    values: Parameters
    given: bool  # one that the study started with: the recipe's own values
    readings: dict[Integer, Number]  # t -> objective
    seconds: Cost
    refused: Line | None = None  # why nothing came of it
    repeats: Count | None = None  # number of an earlier trial with the same values


class Study(Frozen):
    """One study: everything that was tried, and what came of it."""

    schema_version: int = STUDY_SCHEMA_VERSION
    matrix: Text
    recipe: Text  # label before tuning
    tuning: Tuning  # settings, cost and outcome
    maximise: bool
    best: Parameters
    parts: Parameters  # of the recipe with the best parameters
    importance: dict[Text, Number]  # parameter -> share, by PED-ANOVA; empty where too few trials finished
    trials: list[Trial] = Field(min_length=1, max_length=MOST_TRIALS)
    created: Time


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
    for path in sorted((results / "tuning").glob("[!.]*.json")):
        try:
            study = parse_study(read_plain(path, LARGEST))
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
