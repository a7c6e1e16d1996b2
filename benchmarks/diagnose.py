"""Diagnose one network and recipe of a matrix: where, and why, the spiking twin departs from the ANN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.anns import AnnStore, trained_ann
from benchmarks.cells import Cell
from benchmarks.choosing import choose_cell
from benchmarks.data import evaluation_data
from benchmarks.progress import Display
from benchmarks.quiet import hide_lightning_hints
from benchmarks.spec import Matrix
from conversion import (
    ConversionError,
    Converted,
    Diagnosis,
    convert,
    diagnose,
)
from conversion.diagnosis.error_parts import ErrorParts, LayerError
from leaderboard.records.fields import LONGEST_LINE, bounded
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
    hide_lightning_hints()
    cell = choose_cell(matrix, data_root, network, recipe)
    evaluation = cell.settings.evaluation
    data = evaluation_data(evaluation, cell.ann, more_images=images)
    data.setup()
    with Display(console, 1) as display:
        ann = trained_ann(cell, data, AnnStore(results), display).network
        title = f"{cell.network} on {cell.dataset}, recipe {cell.recipe.label}"
        display.note(f"{title}, {images} training images")
    pool = torch.cat(data.calibration_batches()).to(cell.settings.trainer.device)
    calibration, fresh = pool[:-images], pool[-images:]
    ann = ann.to(pool.device)
    snn = convert(ann, cell.recipe, calibration.split(evaluation.batch_size))
    found = diagnose(ann, snn, fresh, time_steps)
    write_diagnosis(results, cell.id, kept(found))
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
        found = CellDiagnosis(images=len(images), why_not=str(error)[:LONGEST_LINE])
    write_diagnosis(results, cell.id, found)


def unseen_images(cell: Cell, images: int) -> Tensor:
    """Training images [images, C, H, W] that follow the calibration images of a cell.

    Raises:
        DataError: the training split has too few.
    """
    data = evaluation_data(cell.settings.evaluation, cell.ann, more_images=images)
    data.setup()
    return torch.cat(data.calibration_batches())[-images:]


def kept(diagnosis: Diagnosis) -> CellDiagnosis:
    """What the page shows of a diagnosis."""
    rows = [
        LayerDiagnosis(
            layer=row.layer,
            t=row.t,
            threshold=bounded(row.threshold),
            rate=bounded(row.rate),
            error=bounded(row.relative_error) if isfinite(row.relative_error) else None,
            **{name: _share(row, name) for name in ErrorParts.__dataclass_fields__},
        )
        for row in diagnosis.rows
    ]
    return CellDiagnosis(images=diagnosis.images, layers=rows)


def _share(row: LayerError, part: str) -> float | None:
    """Mean size of a part of the error over the mean activation."""
    size: float = getattr(row.absolute, part)
    return bounded(size / row.ann_mean) if row.ann_mean else None


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
        for name in ("theta", "rate", "error", *ErrorParts.__dataclass_fields__, "SIN"):
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
    parts = [_share(row, name) for name in ErrorParts.__dataclass_fields__]
    shares = ["-" if part is None else _percent(part) for part in parts]
    error, silent = _percent(row.relative_error), _percent(row.sin_neurons)
    return [row.layer, f"{row.threshold:.3g}", f"{row.rate:.3f}", error, *shares, silent]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
