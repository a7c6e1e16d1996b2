"""What tuning leaves behind: the study as data, and a matrix of tuned recipes that `spikemark run` takes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.cells import Cell
from benchmarks.recipe_entries import entry_of
from benchmarks.spec import Matrix
from benchmarks.tuning.journal import READ_AT
from benchmarks.tuning.objective import TuningSubject
from benchmarks.tuning.study import FORWARDS, IMAGE_STEPS, REFUSED, REPEATS, SECONDS, Found
from benchmarks.tuning_spec import TuningSpec
from leaderboard.files.atomic import write_text_atomically
from leaderboard.files.yaml_files import yaml_text
from leaderboard.records.fields import LONGEST_LINE, bounded
from leaderboard.records.record import Tuning
from leaderboard.store.studies import Study, Trial

FEWEST_FOR_IMPORTANCE = 4  # finished trials

HEADER = """\
# Tuned by `spikemark tune`; run it with `spikemark run` and the same data root.
# Each recipe runs on the data set, network and seed that it was tuned for.
"""


@dataclass(frozen=True)
class Tuned:
    """One finished study: its cell before tuning, and what it found."""

    cell: Cell
    entry: dict[str, Any]  # for a matrix
    study: Study

    @property
    def improved(self) -> bool:
        """Whether something better than what the study started from was found."""
        return self.study.tuning.default is None or self.study.tuning.value != self.study.tuning.default

    @property
    def summary(self) -> str:
        """One line for people."""
        tuning = self.study.tuning
        cost = (
            f"{tuning.trials} trials, {tuning.pruned} pruned, {tuning.seconds:.1f} s, "
            f"{tuning.ann_forwards / tuning.images:.0f} ANN passes"
        )
        if tuning.default is None:
            return f"{tuning.objective} {tuning.value:.4g} at t = {tuning.t} ({cost})"
        if not self.improved:
            return f"{tuning.objective} {tuning.value:.4g} at t = {tuning.t}, nothing better found ({cost})"
        return f"{tuning.objective} {tuning.default:.4g} -> {tuning.value:.4g} at t = {tuning.t} ({cost})"


def tuned(
    cell: Cell,
    study_id: str,
    found: Found,
    settings: TuningSpec,
    subject: TuningSubject,
    label: str = "",
    constraint: str | None = None,
) -> Tuned:
    """What a finished study says about its cell.

    Args:
        cell: data set, network, seed, and the recipe before tuning.
        study_id: of the study.
        found: what it found.
        settings: budget and sampler.
        subject: what trials were measured on.
        label: of the tuned recipe; the old one with "tuned" where its parameters changed.
        constraint: that a search over recipes kept to.
    """
    tuning = Tuning(
        study=study_id,
        dataset=cell.dataset,
        network=cell.network,
        seed=cell.seed,
        objective=subject.measure,
        t=found.t,
        images=subject.images,
        sampler=settings.sampler,
        sampler_seed=settings.seed,
        trials=len(found.trials),
        pruned=found.pruned,
        seconds=round(found.total(SECONDS), 3),
        image_steps=found.total(IMAGE_STEPS),
        ann_forwards=round(found.total(FORWARDS), 1),
        value=bounded(found.best),
        default=None if found.default is None else bounded(found.default),
        constraint=constraint,
    )
    changed = found.recipe.parts() != cell.recipe.parts()
    label = label or (f"{cell.recipe.label} tuned" if changed else cell.recipe.label)
    study = Study(
        matrix=cell.settings.matrix,
        recipe=cell.recipe.label if constraint is None else label,
        tuning=tuning,
        maximise=subject.maximise,
        best=found.values,
        parts=_plain(found.recipe.parts()),
        importance=importance(found.study),
        trials=[_trial(trial) for trial in found.trials],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Tuned(cell, _plain(entry_of(found.recipe, label, tuning)), study)


def write_matrix(path: Path, matrix: Matrix, studies: Sequence[Tuned]) -> None:
    """Write the matrix with tuned recipes in place of its own, all or nothing.

    Networks that no study has finished for are left out.

    Raises:
        StoreError: the file cannot be written.
    """
    content: dict[str, Any] = matrix.model_dump(mode="json", exclude_defaults=True, exclude={"tuning"})
    entries: dict[str, list[dict[str, Any]]] = {}
    for study in studies:
        entries.setdefault(study.cell.network, []).append(study.entry)
    names = [network.label or network.name for network in matrix.networks]
    networks = zip(names, content["networks"], strict=True)
    content["networks"] = [
        {**network, "recipes": entries[name]} for name, network in networks if name in entries
    ]
    content["name"] = f"{matrix.name}-tuned"
    write_text_atomically(path, HEADER + yaml_text(content))


def importance(study: optuna.Study) -> dict[str, float]:
    """Share of each parameter in what made trials good, by PED-ANOVA; empty for too few trials.

    Source: Watanabe et al. 2023 (IJCAI), arXiv 2304.10255.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in finished}) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():  # of parameters that few trials had
        warnings.simplefilter("ignore", UserWarning)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items() if math.isfinite(share)}


def _trial(trial: FrozenTrial) -> Trial:
    notes = trial.user_attrs
    return Trial(
        state="complete" if trial.state is TrialState.COMPLETE else "pruned",
        value=None if trial.value is None else bounded(trial.value),
        t=notes.get(READ_AT),
        values=_plain(trial.params),
        given=bool(notes.get("given")),
        readings={t: bounded(value) for t, value in trial.intermediate_values.items()},
        seconds=round(float(notes.get(SECONDS, 0.0)), 3),
        refused=None if notes.get(REFUSED) is None else str(notes[REFUSED])[:LONGEST_LINE],
        repeats=notes.get(REPEATS),
    )


def _plain(value: Any) -> Any:
    """The same as JSON would read it back: lists for tuples, nothing but plain types."""
    return json.loads(json.dumps(value))
