"""Weights & Biases as a mirror of the records: one run a cell, grouped by matrix.

Only where the matrix or `--tracking` asks for it. `spikemark sync` uploads offline runs later. Where W&B does
not answer, online runs are kept offline, too, and with WANDB_MODE=disabled in the environment there are none.
In the W&B interface a group is a matrix, a job type a recipe, and tags name the data set, network and group.
wandb is slow to import, so it is imported only when a matrix asks for tracking. Tracking never fails a cell:
an error is logged once, and the rest of this cell is not tracked.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.cells import Cell
from benchmarks.offline import OFFLINE, is_uploaded, new_id, remove_run, runs_of

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

_log = logging.getLogger("spikemark.tracking")
_OUT_OF_REACH: list[bool] = []  # filled where W&B did not answer: asking again costs 90 seconds a cell


class Tracker:
    """One run; use `logger` as a Lightning logger, then `finish`. Does nothing once something failed."""

    def __init__(self, run: Any, logger: Logger) -> None:
        self._run = run
        self.logger: Logger | None = logger
        logger.log_metrics = self._guarded(logger.log_metrics)  # type: ignore[method-assign]
        logger.log_hyperparams = self._guarded(logger.log_hyperparams)  # type: ignore[method-assign]

    def finish(self, summary: dict[str, float]) -> Path | None:
        """Close the run; returns its folder, None if it is not whole."""
        if self.logger is not None:
            try:
                return self._end(summary)
            except Exception as error:
                self._give_up(error)
        self._drop()
        return None

    def _drop(self) -> None:
        """Leave no half of a run, which would be uploaded later."""
        with suppress(Exception):
            folder = Path(self._run.dir).parent
            if folder.name.startswith(OFFLINE):
                with suppress(Exception):
                    self._run.finish(exit_code=1)
                remove_run(folder)

    def _end(self, summary: dict[str, float]) -> Path:
        self._run.summary.update(summary)
        folder = Path(self._run.dir).parent
        self._run.finish()
        return folder

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **options: Any) -> Any:
            if self.logger is None:
                return None
            try:
                return call(*arguments, **options)
            except Exception as error:
                self._give_up(error)
                return None

        return guarded

    def _give_up(self, error: Exception) -> None:
        self.logger = None
        _complain(error)


def start_run(cell: Cell, folder: Path) -> Tracker | None:
    """Tracker of a cell's own run, with curves over time steps; None when tracking is off or fails.

    Args:
        cell: names and configures the run.
        folder: where wandb puts its files, `<folder>/wandb/`.
    """
    for earlier in runs_of(cell.id, folder):  # of processes that were killed, or came to nothing
        if not is_uploaded(earlier):
            remove_run(earlier)
    mode = cell.settings.tracking.wandb
    if mode == "off" or os.environ.get("WANDB_MODE") == "disabled":
        return None
    if mode == "online" and not _OUT_OF_REACH:
        tracker = _start(cell, folder, mode)
        if tracker is not None:
            return tracker
        _OUT_OF_REACH.append(True)
        _log.warning("W&B: runs of this process are kept offline; `spikemark sync` uploads them later")
    return _start(cell, folder, "offline")


def _start(cell: Cell, folder: Path, mode: Literal["online", "offline"]) -> Tracker | None:
    try:
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            id=new_id(cell.id),
            name=cell.title,
            project=cell.settings.tracking.project,
            group=cell.settings.matrix,
            job_type=cell.recipe.name,
            tags=[tag[:64] for tag in (cell.dataset, cell.network, cell.recipe.group)],
            dir=str(folder),
            mode=mode,
            config={"cell_id": cell.id, "recipe": cell.recipe.label, **cell.config},
            reinit="finish_previous",
            settings=wandb.Settings(console="off", silent=True),
        )
        run.define_metric("time_step")
        run.define_metric("snn/*", step_metric="time_step")
        return Tracker(run, WandbLogger(experiment=run))
    except Exception as error:
        _complain(error)
        return None


def _complain(error: Exception) -> None:
    _log.warning("W&B: %s: %s; the cell goes on without it", type(error).__name__, error)
