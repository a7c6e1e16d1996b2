"""Evaluate one cell: test pass with the conversion callback, then its record."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment

from benchmarks.anns import TrainedAnn
from benchmarks.cells import Cell
from benchmarks.coordination.progress_file import ProgressFile
from benchmarks.progress import BatchReport
from benchmarks.provenance import (
    device_name,
    git_state,
    nondeterminism,
    package_versions,
    peak_memory_mib,
)
from conversion import Converted, Recipe
from datamodules import DataModule
from leaderboard import Record
from leaderboard.records.record import (
    BENCHMARK_VERSION,
    Ann,
    FunctionCounts,
    LayerCounts,
    Point,
    Provenance,
    RecipeSummary,
    SourceLayer,
)
from lightning_modules.callback import SpikingEvaluation
from lightning_modules.results import EvaluationResult


@dataclass(frozen=True)
class Evaluated:
    """What was measured, and the networks that it was measured on."""

    record: Record
    module: pl.LightningModule  # of the trained network
    network: Converted  # its spiking twin


def evaluate(cell: Cell, ann: TrainedAnn, data: DataModule, progress: ProgressFile, logger: Any) -> Evaluated:
    """Test the ANN and its spiking twin on the same batches.

    Args:
        cell: what to evaluate.
        ann: the trained network; left untouched.
        data: its data module, set up.
        progress: told of batches and time steps.
        logger: Lightning logger or None.
    """
    started = time.monotonic()
    pl.seed_everything(cell.seed, workers=True, verbose=False)
    settings = cell.settings
    how = settings.evaluation
    evaluation = SpikingEvaluation(
        cell.recipe,
        settings.time_steps,
        chunk=how.chunk,
        precision=how.precision,
        on_readout=progress.at,
        memory_mib=how.memory_mib,
    )
    progress.begin("testing", unit="batches", last=settings.time_steps[-1])
    trainer = pl.Trainer(
        accelerator=settings.trainer.accelerator,
        devices=settings.trainer.one_device,  # several would see the images in another order
        deterministic=settings.trainer.deterministic,
        callbacks=[evaluation, BatchReport(progress)],
        logger=logger or False,
        enable_checkpointing=False,
        plugins=[LightningEnvironment()],  # inside a Slurm job, too, a trainer starts its own processes
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = settings.task.module(ann.network, data, cell.ann.training)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.test(module, datamodule=data, verbose=False)
    seconds = {"train": ann.seconds, **evaluation.result.seconds, "cell": time.monotonic() - started}
    device = trainer.strategy.root_device
    record = _record(cell, ann, evaluation.result, data.fingerprint(), seconds, device)
    assert evaluation.network is not None
    return Evaluated(record, module, evaluation.network)


def _record(
    cell: Cell,
    ann: TrainedAnn,
    result: EvaluationResult,
    data: dict[str, str],
    seconds: dict[str, float],
    device: torch.device,
) -> Record:
    commit, dirty = git_state()
    return Record(
        benchmark_version=BENCHMARK_VERSION,
        cell_id=cell.id,
        matrix=cell.settings.matrix,
        task=cell.settings.task.name,
        dataset=cell.dataset,
        network=cell.network,
        seed=cell.seed,
        metric=result.metric,
        config=cell.config,
        method=method_of(cell.recipe, cell.ann.network.made_for_conversion),
        tuning=cell.tuning,
        ann=Ann(
            metrics=result.ann,
            macs=result.wiring.macs,
            energy_pj=result.ann_energy_pj,
            checkpoint_sha256=ann.checkpoint_sha256,
        ),
        sources=[SourceLayer(name=n, kind=k, units=u) for n, k, u in result.sources],  # type: ignore[arg-type]
        layers=[LayerCounts.model_validate(asdict(layer)) for layer in result.counts.layers],
        functions=[
            FunctionCounts(name=name, **asdict(function))
            for name, function in (result.counts.functions or {}).items()
        ],
        curve=[Point.model_validate(vars(measurement)) for measurement in result.curve],
        outcomes=cell.settings.task.outcomes(result.metric, result.ann_outcomes, result.outcomes),
        provenance=Provenance(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=commit,
            git_dirty=dirty,
            versions=package_versions(),
            device=device_name(device),
            precision=result.precision,
            backend=result.backend,
            verdict=result.verdict,  # type: ignore[arg-type]
            reductions=result.reductions,
            nondeterministic=nondeterminism(device),
            data=data,
            checkpoint=_below_the_root(cell.ann.network.checkpoint),
            wall_time_s={stage: round(value, 3) for stage, value in seconds.items()},
            peak_memory_mib=round(peak_memory_mib(device), 1),
            conversion=result.report,
        ),
    )


def _below_the_root(checkpoint: str | None) -> str | None:
    """A checkpoint's name as others can find it: folders of this machine say nothing to them."""
    if checkpoint is None:
        return None
    return Path(checkpoint).name if Path(checkpoint).expanduser().is_absolute() else checkpoint


def method_of(recipe: Recipe, made_for_conversion: bool = False) -> RecipeSummary:
    """What rankings need to know of a recipe.

    Args:
        recipe: the conversion method.
        made_for_conversion: the network was trained with an activation that conversion asked for; every
            recipe on it is then one of a retrained network, but for the baseline.
    """
    retrained = made_for_conversion or recipe.retrains
    group = "retrained" if retrained and recipe.group != "baseline" else recipe.group
    return RecipeSummary(
        name=recipe.name,
        label=recipe.label,
        parts=recipe.parts(),
        alphabet=recipe.neuron.alphabet,  # type: ignore[arg-type]
        max_per_step=recipe.neuron.max_per_step,
        ann_untouched=not retrained,
        group=group,
        paper=recipe.paper,
    )
