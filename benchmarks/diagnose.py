"""Diagnose one network and recipe of a matrix: where, and why, the spiking twin departs from the ANN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.anns import AnnStore, trained_ann
from benchmarks.cells import Cell, expand
from benchmarks.data import evaluation_data
from benchmarks.errors import AnnError
from benchmarks.progress import Display
from benchmarks.quiet import quieten
from benchmarks.spec import Matrix, TrainerSpec
from benchmarks.tuning.entries import resolve
from conversion import (
    ConversionError,
    Converted,
    Diagnosis,
    Recipe,
    RecipeError,
    convert,
    diagnose,
    recipe_from,
    recipe_names,
)
from conversion.diagnosis.error_parts import LayerError, Parts
from conversion.parts import nearest
from leaderboard.store.diagnoses import CellDiagnosis, LayerDiagnosis, write_diagnosis


def diagnose_matrix(
    matrix: Matrix,
    data_root: Path | None,
    results: Path,
    console: Console,
    network: str | None,
    recipe: str | None,
    images: int,
    time_steps: Iterable[int],
) -> Diagnosis:
    """Convert a network of the matrix as a run would, and compare both on other training images.

    Args:
        matrix: the first data set and the first seed of the network are used.
        data_root: folder that data sets and checkpoints are relative to.
        results: folder of trained networks; a missing one is trained and kept there.
        console: where progress is shown.
        network: label or name of one of the matrix's networks; None for the first.
        recipe: label of one of the matrix's recipes, or a preset's name; None for the first.
        images: how many to compare on; drawn after the calibration images, and never tested on.
        time_steps: when to compare.

    Returns:
        What was found; it also lies in the results, where the page shows it with its cell.

    Raises:
        AnnError: the matrix has no such network, or its checkpoint does not exist.
        RecipeError: there is no such recipe.
        ConversionError: the network cannot be converted, or the recipe sends no spikes.
        DataError: the data are missing or too few.
        StoreError: the results folder cannot be written.
    """
    quieten()
    cell = cell_of(matrix, data_root, network)
    chosen = recipe_of(cell.matrix, recipe)
    matrix = cell.matrix
    data = evaluation_data(matrix, cell.ann, more_images=images)
    data.setup()
    with Display(console, 1) as display:
        ann = trained_ann(matrix, cell, data, AnnStore(results), display).network
        display.note(f"{cell.network} on {cell.dataset}, recipe {chosen.label}, {images} training images")
    pool = torch.cat(data.calibration_batches()).to(device_of(matrix.trainer))
    calibration, fresh = pool[:-images], pool[-images:]
    ann = ann.to(pool.device)
    snn = convert(ann, chosen, calibration.split(matrix.evaluation.batch_size))
    found = diagnose(ann, snn, fresh, time_steps)
    write_diagnosis(results, replace(cell, recipe=chosen).id, kept(found))
    return found


def diagnose_cell(
    cell: Cell, ann: nn.Module, snn: Converted, images: Tensor, time_steps: Sequence[int], results: Path
) -> None:
    """Compare the networks of a finished cell, and keep for its page what was found, or why nothing was.

    Args:
        cell: whose networks they are.
        ann: the trained network.
        snn: its spiking twin.
        images: [N, C, H, W], training images that were not calibrated on.
        time_steps: when to compare.
        results: folder of results.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        found = kept(diagnose(ann.cpu(), snn.cpu(), images, time_steps))
    except ConversionError as error:
        found = CellDiagnosis(images=len(images), why_not=str(error))
    write_diagnosis(results, cell.id, found)


def unseen_images(cell: Cell, images: int) -> Tensor:
    """Training images [images, C, H, W] that follow the calibration images of a cell.

    Raises:
        DataError: the training split has too few.
    """
    data = evaluation_data(cell.matrix, cell.ann, more_images=images)
    data.setup()
    return torch.cat(data.calibration_batches())[-images:]


def kept(diagnosis: Diagnosis) -> CellDiagnosis:
    """What the page shows of a diagnosis."""
    rows = [
        LayerDiagnosis(
            layer=row.layer,
            t=row.t,
            threshold=row.threshold,
            rate=row.rate,
            error=row.relative_error if isfinite(row.relative_error) else None,
            **{name: _share(row, name) for name in Parts.__dataclass_fields__},
        )
        for row in diagnosis.rows
    ]
    return CellDiagnosis(images=diagnosis.images, layers=rows)


def _share(row: LayerError, part: str) -> float | None:
    """Mean size of a part of the error over the mean activation."""
    size: float = getattr(row.absolute, part)
    return size / row.ann_mean if row.ann_mean else None


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print one table a time step."""
    for t in diagnosis.time_steps:
        table = Table(
            title=f"t = {t}; everything from error on in %",
            title_justify="left",
            box=None,
            header_style="bold",
            padding=(0, 0, 0, 1),
        )
        table.add_column("layer", overflow="fold")
        for name in ("theta", "rate", "error", *Parts.__dataclass_fields__, "SIN"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in diagnosis.at(t):
            table.add_row(*_columns(row))
        console.print(table)
        console.print()
    console.print(
        "theta: mean threshold. rate: spikes per neuron and step.\n"
        "error: ‖r − a‖ / ‖a‖ of rates r and activations a.\n"
        "clipping to unevenness: parts of the error, mean |part| over mean a; where their\n"
        "signs differ they cancel, so they may sum to more than the error.\n"
        "SIN: share of the neurons silent in the ANN (a <= 0) whose output is positive.",
        highlight=False,
    )


def _columns(row: LayerError) -> list[str]:
    parts = [_share(row, name) for name in Parts.__dataclass_fields__]
    shares = ["-" if part is None else _percent(part) for part in parts]
    error, silent = _percent(row.relative_error), _percent(row.sin_neurons)
    return [row.layer, f"{row.threshold:.3g}", f"{row.rate:.3f}", error, *shares, silent]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def cell_of(matrix: Matrix, data_root: Path | None, name: str | None) -> Cell:
    """A cell of the network of that label or name (None: the first), on its first data set and seed."""
    cells = expand(matrix, data_root)
    found = [cell for cell in cells if name in (None, cell.network, cell.ann.network.name)]
    if not found:
        valid = {cell.network for cell in cells}
        raise AnnError(f"matrix '{matrix.name}' has no network '{name}'; {nearest(str(name), valid)}")
    return found[0]


def recipe_of(matrix: Matrix, name: str | None) -> Recipe:
    """The recipe of that label, or the preset of that name; None: the matrix's first."""
    listed = [resolve(recipe)[0] for recipe in matrix.recipes]
    if name is None:
        return listed[0]
    known = {**{preset: recipe_from(preset) for preset in recipe_names()}, **{r.label: r for r in listed}}
    if name not in known:
        raise RecipeError(f"unknown recipe '{name}'; {nearest(name, known)}")
    return known[name]


def device_of(trainer: TrainerSpec) -> torch.device:
    """Where a matrix wants its networks to run."""
    wanted = trainer.accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")
