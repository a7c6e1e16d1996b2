"""Weights & Biases as a mirror of the records: one run a cell, grouped by matrix.

Offline unless the matrix says otherwise. wandb is slow to import, so that happens only when a
matrix asks for tracking. Tracking never fails a cell: what cannot be logged is said once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cells import Cell

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger


def start_run(cell: Cell, folder: Path) -> WandbLogger | None:
    """Logger of a cell's own run, with curves over time steps; None when tracking is off.

    Args:
        cell: names and configures the run.
        folder: where wandb puts its files, `<folder>/wandb/`.
    """
    tracking = cell.matrix.tracking
    if tracking.wandb == "off":
        return None
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        name=cell.title,
        project=tracking.project,
        group=cell.matrix.name,
        job_type=cell.recipe.name,
        dir=str(folder),
        mode=tracking.wandb,
        config={"cell_id": cell.id, **cell.config},
        reinit="finish_previous",
        settings=wandb.Settings(console="off", silent=True),
    )
    run.define_metric("time_step")
    run.define_metric("snn/*", step_metric="time_step")
    return WandbLogger(experiment=run)


def finish_run(logger: WandbLogger | None, summary: dict[str, float]) -> Path | None:
    """Close a cell's run; returns its folder."""
    if logger is None:
        return None
    run: Any = logger.experiment
    run.summary.update(summary)
    folder = Path(run.dir).parent
    run.finish()
    return folder
