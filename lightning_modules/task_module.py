"""What the modules of all tasks share: batches, and the test of the network itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sized
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.metrics import TaskMetric


class TaskModule(pl.LightningModule):
    """A network with a metric of its task; `SpikingEvaluation` reads both."""

    ann_metric: TaskMetric

    def inputs_and_targets(self, batch: Any) -> tuple[Tensor, Any]:
        """Split a batch into what the network sees [B, C, H, W] and what the metric needs."""
        images, targets = batch
        return images, targets

    @abstractmethod
    def new_metric(self) -> TaskMetric:
        """Return an empty metric on the module's device that knows the size of the running test."""

    def on_test_start(self) -> None:
        """Empty the metric, so that each test run stands alone."""
        self.ann_metric = self.new_metric()

    def on_test_epoch_end(self) -> None:
        """Log the scores of the network itself."""
        scores = {f"ann/{name}": value for name, value in self.ann_metric.compute().items()}
        self.log_dict(scores, sync_dist=True)

    def _test_images(self) -> int | None:
        return None if self._trainer is None else test_images(self._trainer)


def test_images(trainer: pl.Trainer) -> int | None:
    """Number of images of the running test; None: there is no test, or nobody knows."""
    loaders: Any = trainer.test_dataloaders
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, list | tuple) and len(loaders) == 1:
        loaders = loaders[0]
    dataset = getattr(loaders, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else None
