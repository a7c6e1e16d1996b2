"""Tune a matrix: one study for each data set, network, seed and recipe, with the same budget for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.anns import AnnStore, trained_ann
from benchmarks.cells import Cell, expand_one
from benchmarks.coordination.claims import Claims
from benchmarks.coordination.leftovers import sweep_results
from benchmarks.data import evaluation_data
from benchmarks.errors import TuningError
from benchmarks.progress import Display
from benchmarks.quiet import hide_lightning_hints
from benchmarks.settings import CellSettings
from benchmarks.spec import Matrix
from benchmarks.tuning.auto import AutoSpace, Constraint
from benchmarks.tuning.objective import TuningSubject
from benchmarks.tuning.outcome import Tuned, tuned, write_matrix
from benchmarks.tuning.proposals import hide_optuna_reports
from benchmarks.tuning.space import RecipeSpace
from benchmarks.tuning.study import run_study
from benchmarks.tuning_spec import TuningSpec
from conversion import Recipe, recipe_from
from leaderboard.records.record import content_hash
from leaderboard.store.studies import write_study
from spikemark_plugins.names import did_you_mean

# Raised whenever a change makes the same study find something else.
STUDY_VERSION = 1


@dataclass
class TuningOutcome:
    """What became of a matrix's studies."""

    studies: list[Tuned] = field(default_factory=list)
    matrix: Path | None = None  # file of tuned recipes


@dataclass(frozen=True)
class Request:
    """What to tune and where to put it.

    Args:
        settings: the same for all studies.
        data_root: folder that data sets and checkpoints are relative to.
        results: folder of trained networks; studies go into its folder "tuning".
        out: file of the tuned matrix.
        labels: labels of the recipes to tune; none for all.
        constraint: searches over recipes themselves under this constraint, in place of tuning one by one.
    """

    settings: TuningSpec
    data_root: Path | None
    results: Path
    out: Path
    labels: tuple[str, ...] = ()
    constraint: Constraint | None = None


def tune(matrix: Matrix, request: Request, console: Console) -> TuningOutcome:
    """Run all studies of a matrix; finished ones are read, unfinished ones go on.

    The test images are never read. The tuned matrix is written after each study. Matrices in `also` are
    left out: one budget is for one task.

    Raises:
        TuningError: a setting does not fit, or a recipe cannot be tuned at all.
        AnnError, ConversionError, DataError, StoreError: as for `benchmarks.runner.run`.
    """
    hide_lightning_hints()
    hide_optuna_reports()
    matrix = matrix.model_copy(update={"also": []})
    sweep_results(request.results)
    everything = expand_one(matrix, request.data_root)
    cells = _chosen(everything, request)
    outcome = TuningOutcome()
    with Display(console, len(cells)) as display:
        for ann, members in groupby(cells, key=lambda cell: cell.ann):
            recipes = [cell.recipe for cell in everything if cell.ann == ann]
            session = _Session(matrix.settings, request, recipes, display)
            for cell in members:
                found = session.study(cell)
                if found is None:
                    display.finished(cell, "has nothing to tune")
                    continue
                outcome.studies.append(found)
                outcome.matrix = request.out
                write_study(request.results, found.study)
                write_matrix(request.out, matrix, outcome.studies)
                display.finished(cell, found.summary)
    return outcome


class _Session:
    """All studies of one network; what they share is made when the first of them needs it."""

    def __init__(
        self, of_cells: CellSettings, request: Request, recipes: list[Recipe], display: Display
    ) -> None:
        self._of_cells = of_cells
        self._request = request
        self._recipes = recipes  # that the matrix has for this network
        self._display = display
        self._subject: TuningSubject | None = None
        settings = request.settings
        constraint = request.constraint
        t = settings.t or of_cells.time_steps[-1]
        if constraint is not None and constraint.t_total is not None:
            t = constraint.t_total
        self._t = t
        # A Gaussian process cannot model parameters that come and go.
        sampler = "tpe" if constraint is not None and settings.sampler == "gp" else settings.sampler
        self._settings = settings.model_copy(update={"t": t, "sampler": sampler})

    def study(self, cell: Cell) -> Tuned | None:
        """Run the study of one cell; None where the recipe has no parameters."""
        constraint = self._request.constraint
        if constraint is not None:
            return self._search(cell, constraint)
        cell.recipe.checked([self._t])
        space = RecipeSpace(cell.recipe, self._t, self._settings.search)
        if not space.ranges:
            return None
        subject = self._ready(cell)
        ranges = {name: repr(found) for name, found in space.ranges.items()}
        study_id = self._id(cell, {"recipe": cell.recipe.parts(), "ranges": ranges})
        with self._announced(study_id, cell) as report:
            found = run_study(
                study_id,
                self._request.results / "tuning",
                space,
                subject,
                self._settings,
                lambda recipe: self._t,
                report,
            )
        return tuned(cell, study_id, found, self._settings, subject)

    def _search(self, cell: Cell, constraint: Constraint) -> Tuned:
        """Search over recipes themselves; the matrix's own recipes are tried first."""
        subject = self._ready(cell)
        constraint = replace(constraint, t_total=self._t)
        space = AutoSpace(subject.prepared, constraint, self._t, self._settings.search, self._recipes)
        study_id = self._id(cell, {"space": "auto", "constraint": str(constraint), "first": space.first})
        with self._announced(study_id, cell) as report:
            found = run_study(
                study_id,
                self._request.results / "tuning",
                space,
                subject,
                self._settings,
                space.time_steps,
                report,
                constraint.energy,
            )
        label = f"auto: {constraint}"
        return tuned(cell, study_id, found, self._settings, subject, label, str(constraint))

    @contextmanager
    def _announced(self, study: str, cell: Cell) -> Iterator[Callable[[int, int], None]]:
        """Show trials here and in `spikemark status`; workers of one study each have a claim of their own."""
        claims, key = Claims(self._request.results), f"study-{study}-{os.getpid()}"
        with claims.wait(key, f"study of {cell.title}", lambda holding: None) as claim:
            claim.progress.begin("tuning", self._settings.trials, "trials")

            def report(done: int, total: int) -> None:
                self._display.step_done(done, total)
                claim.progress.step(done, total)

            yield report

    def _id(self, cell: Cell, config: dict[str, Any]) -> str:
        """Hash of everything that determines a study."""
        evaluation = self._of_cells.evaluation
        return content_hash(
            {
                "version": STUDY_VERSION,
                "task": self._of_cells.task.name,
                "ann": cell.ann.config,
                "seed": cell.ann.seed,
                "settings": self._settings.model_dump(exclude={"preset"}),
                "calibration_images": evaluation.calibration_images,
                "precision": evaluation.precision,
                **config,
            }
        )

    def _ready(self, cell: Cell) -> TuningSubject:
        """The trained network, captured, with its images; trained first where nobody has."""
        settings, evaluation = self._settings, self._of_cells.evaluation
        if self._subject is None:
            with_targets = settings.objective == "metric"
            if not with_targets and settings.images > evaluation.calibration_images:
                raise TuningError(
                    f"tuning.images is {settings.images}, but objective 'kl' is measured on the calibration "
                    f"images, of which there are {evaluation.calibration_images}; raise "
                    "evaluation.calibration_images or lower tuning.images"
                )
            data = evaluation_data(evaluation, cell.ann, more_images=settings.images if with_targets else 0)
            data.setup()
            network = trained_ann(cell, data, AnnStore(self._request.results), self._display).network
            device = self._of_cells.trainer.device
            task = self._of_cells.task
            module: Any = task.module(network.eval(), data, cell.ann.training).to(device)
            samples = [module.inputs_and_targets(batch) for batch in data.calibration_samples()]
            images, targets = _joined(samples)
            size = evaluation.batch_size
            known = evaluation.calibration_images
            judged = slice(known, None) if with_targets else slice(0, settings.images)
            self._subject = TuningSubject(
                module.network,
                images[:known].to(device).split(size),
                _batches(images[judged].to(device), _moved(targets[judged], device), size),
                module.new_metric if with_targets else None,
                evaluation.chunk,
                evaluation.precision,
            )
        self._display.tuning(cell.title, settings.trials)
        return self._subject


def _chosen(cells: list[Cell], request: Request) -> list[Cell]:
    """Cells to tune: those of the labels asked for, or one for each network where recipes are searched."""
    if request.constraint is not None:
        if "sampler" in request.settings.model_fields_set and request.settings.sampler == "gp":
            raise TuningError(
                "sampler 'gp' cannot search over recipes, because a parameter exists only where its part is "
                "chosen; use sampler tpe or random"
            )
        start = replace(recipe_from("custom"), label="auto")
        first = [next(members) for _, members in groupby(cells, key=lambda cell: cell.ann)]
        return [replace(cell, recipe=start, tuning=None) for cell in first]
    known = {cell.recipe.label for cell in cells}
    for label in request.labels:
        if label not in known:
            raise TuningError(
                f"no recipe '{label}' in this matrix{did_you_mean(label, [*sorted(known), 'auto'])}"
            )
    return [cell for cell in cells if not request.labels or cell.recipe.label in request.labels]


def _joined(batches: Sequence[Any]) -> tuple[Tensor, Any]:
    """All images [N, C, H, W] and all their targets, a tensor [N, ...] or a list."""
    images = torch.cat([images for images, _ in batches])
    first = batches[0][1]
    if isinstance(first, Tensor):
        return images, torch.cat([targets for _, targets in batches])
    return images, [target for _, targets in batches for target in targets]


def _batches(images: Tensor, targets: Any, size: int) -> list[tuple[Tensor, Any]]:
    starts = range(0, len(images), size)
    return [(images[start : start + size], targets[start : start + size]) for start in starts]


def _moved(targets: Any, device: torch.device) -> Any:
    return targets.to(device) if isinstance(targets, Tensor) else targets
