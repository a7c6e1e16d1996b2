"""Measure what the regression gate compares: a matrix on committed weights, in one thread.

Training differs from machine to machine, so the weights lie beside the baseline, under the name that the
results folder has for them, `anns/<id>/network.pt`; half precision keeps them small. A network whose
training has changed has another id, and is trained anew.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.anns import AnnStore
from benchmarks.cells import Cell, expand
from benchmarks.data import evaluation_data, training_data
from benchmarks.errors import RegressionError
from benchmarks.execution.threads import at_most
from benchmarks.quiet import hide_lightning_hints
from benchmarks.runner import run
from benchmarks.spec import Matrix
from conversion.simulation.choice import backend_for
from leaderboard import ResultStore
from leaderboard.regression.baseline import Baseline, measured
from lightning_modules import networks


def measure(matrix: Matrix, results: Path, weights: Path, console: Console) -> Baseline:
    """Run a matrix from scratch, with the weights that are kept.

    Args:
        matrix: what to run; it needs no data root.
        results: an empty folder for records.
        weights: folder of kept weights, see above; networks that it lacks are trained.
        console: where progress is shown.

    Raises:
        RegressionError: a cell has failed; says which and why.
        AnnError, StoreError: as `benchmarks.runner.run`.
    """
    kept = weights / "anns"
    if kept.is_dir():
        shutil.copytree(kept, results / "anns")
    hide_lightning_hints()
    cells = _one_cell_each(matrix)
    with at_most(1):  # how sums are split among threads decides how they are rounded
        _train_in_half_precision(cells, results, console)
        outcome = run(matrix, None, results, console)
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.failures:
            what, why = outcome.failures[0]
            raise RegressionError(f"{len(outcome.failures)} cell(s) failed, first {what}:\n{why}")
        arithmetic = _arithmetic(cells, results)
    return Baseline(arithmetic=arithmetic, cells=measured(ResultStore(results).load().records))


def keep_weights(results: Path, weights: Path) -> None:
    """Put the networks of a results folder in the place of the kept ones."""
    shutil.rmtree(weights / "anns", ignore_errors=True)
    for file in sorted((results / "anns").glob("*/network.pt")):
        target = weights / "anns" / file.parent.name / file.name
        target.parent.mkdir(parents=True)
        shutil.copyfile(file, target)


def _one_cell_each(matrix: Matrix) -> list[Cell]:
    """One cell for each network."""
    return list({cell.ann.id: cell for cell in expand(matrix, None)}.values())


def _train_in_half_precision(cells: Sequence[Cell], results: Path, console: Console) -> None:
    anns = AnnStore(results)
    for cell in cells:
        spec = cell.ann
        if not spec.network.trained_here or anns.path_of(spec).is_file():
            continue
        console.print(f"training {cell.network} on {cell.dataset}: no weights of it are kept")
        data = training_data(cell.settings.evaluation, spec)
        data.setup()
        network = anns.get(cell.settings, spec, cell.title, data).network
        torch.save({"state_dict": network.half().state_dict()}, anns.path_of(spec))


def _arithmetic(cells: Sequence[Cell], results: Path) -> dict[str, str]:
    """What decides how float32 numbers are rounded, and how they were: a hash of what the ANNs answer.

    Recipes change none of this, so nothing that goes wrong in a conversion can pass for another machine.
    """
    anns = AnnStore(results)
    digest = hashlib.sha256()
    for cell in cells:
        spec = cell.ann
        data = evaluation_data(cell.settings.evaluation, spec)
        network = spec.network.chosen.build(len(data.classes), data.image_shape[0]).eval()
        networks.load_weights(network, anns.path_of(spec))
        with torch.no_grad():
            for batch in data.calibration_batches():
                outputs = network(batch)
                for output in [outputs] if isinstance(outputs, torch.Tensor) else outputs:
                    digest.update(output.contiguous().numpy().tobytes())
    kernels = backend_for(torch.zeros(1)).kernels
    return {
        "torch": torch.__version__,
        "kernel": " ".join(kernels) or "none",
        "outputs": digest.hexdigest()[:16],
    }
