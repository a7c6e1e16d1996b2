"""Trained networks: train once or load a file; every cell that needs the network shares it.

A network trained here is stored under the hash of everything that determines its weights. Training
that was interrupted continues from the last whole epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from benchmarks import tasks
from benchmarks.cells import AnnSpec, Cell
from benchmarks.data import training_data
from benchmarks.errors import AnnError
from benchmarks.progress import Display
from benchmarks.spec import Matrix, TrainerSpec
from datamodules import DataModule
from lightning_modules import networks

EpochHook = Callable[[int, int], None]  # (epochs done, epochs in all)


@dataclass(frozen=True)
class TrainedAnn:
    """A network with weights, and the hash of the file they came from."""

    network: nn.Module
    checkpoint_sha256: str
    seconds: float  # spent on training in this run; 0 when loaded


class AnnStore:
    """Trained networks below `<results>/anns/<id>/`."""

    def __init__(self, results: Path) -> None:
        self._folder = results / "anns"

    def path_of(self, spec: AnnSpec) -> Path:
        """File of a network's weights: the given checkpoint, or its place in the store."""
        return spec.checkpoint or self._folder / spec.id / "network.pt"

    def get(self, spec: AnnSpec, data: DataModule, trainer: TrainerSpec, on_epoch: EpochHook) -> TrainedAnn:
        """Network in eval mode with its weights; trains it if nobody has.

        Raises:
            CheckpointError: the weights do not fit the network.
            AnnError: the store cannot be written.
        """
        pl.seed_everything(spec.seed, workers=True, verbose=False)
        channels = data.image_shape[0]
        network = networks.build(spec.network.name, len(data.classes), channels, spec.network.options)
        path = self.path_of(spec)
        seconds = 0.0
        if not path.is_file():
            if spec.network.trained_here:
                seconds = self._train(spec, network, data, trainer, on_epoch)
            self._save(network, path)
        return TrainedAnn(network.eval(), networks.load_weights(network, path), seconds)

    def _train(
        self,
        spec: AnnSpec,
        network: nn.Module,
        data: DataModule,
        where: TrainerSpec,
        on_epoch: EpochHook,
    ) -> float:
        folder = self._folder / spec.id
        module = tasks.find(data.task).module(network, data, spec.training)
        clock = pl.callbacks.Timer()
        last = folder / "last.ckpt"
        trainer = pl.Trainer(
            accelerator=where.accelerator,
            devices=where.devices,
            strategy=where.strategy,
            precision=spec.training.precision,  # type: ignore[arg-type]
            max_epochs=spec.training.epochs,
            callbacks=[
                clock,
                _EpochReport(on_epoch),
                ModelCheckpoint(folder, filename="epoch", save_last=True, enable_version_counter=False),
            ],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, datamodule=data, ckpt_path=last if last.is_file() else None)
        if trainer.interrupted:
            raise KeyboardInterrupt
        for leftover in (last, folder / "epoch.ckpt"):
            leftover.unlink(missing_ok=True)
        network.to("cpu")
        return clock.time_elapsed("train")

    def _save(self, network: nn.Module, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(f".{os.getpid()}.tmp")
            torch.save({"state_dict": network.state_dict()}, unfinished)
            os.replace(unfinished, path)
        except OSError as error:
            raise AnnError(
                f"cannot write {path}: {error}. Choose another folder with --results DIR."
            ) from error


def trained_ann(matrix: Matrix, cell: Cell, data: DataModule, anns: AnnStore, display: Display) -> TrainedAnn:
    """The network of a cell; where it has to be trained first, the display shows it."""
    spec = cell.ann
    if spec.network.trained_here and not anns.path_of(spec).is_file():
        display.training(f"{cell.network} on {cell.dataset}", spec.training.epochs)
        data = training_data(matrix, spec)
    return anns.get(spec, data, matrix.trainer, display.step_done)


class _EpochReport(pl.Callback):
    def __init__(self, report: EpochHook) -> None:
        self._report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._report(trainer.current_epoch + 1, trainer.max_epochs or 0)
