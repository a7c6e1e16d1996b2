"""Trained networks: train once or load a file; every cell that needs the network shares it.

A network trained here is stored under the hash of everything that determines its weights. One process at
a time trains it; others wait. Training that was interrupted continues from the last whole epoch, and ends
with the weights that an undisturbed one has.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from benchmarks.cells import AnnSpec, Cell
from benchmarks.coordination.claims import Claims, Holding
from benchmarks.coordination.orphans import end_with
from benchmarks.coordination.progress_file import ProgressFile
from benchmarks.data import training_data
from benchmarks.errors import MemoryExhausted, is_out_of_memory
from benchmarks.loadable import holds_weights_alone, plain_content
from benchmarks.progress import Display, EpochReport
from benchmarks.quiet import hide_lightning_hints
from benchmarks.settings import CellSettings, TrainerSpec
from datamodules import DataModule
from leaderboard.files.atomic import write_atomically
from lightning_modules import networks

# Called once with the process that trains the same network, before this one waits for it.
OnWait = Callable[[Holding], None]

MEMORY_ADVICE = "Lower training.batch_size, or train on a machine with more memory"
NEEDED = {"state_dict", "epoch", "global_step", "loops", "optimizer_states", "lr_schedulers"}
_log = logging.getLogger("spikemark.training")
LAST = Path("last.ckpt")  # of a training that is not over


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
        self._claims = Claims(results)

    def path_of(self, spec: AnnSpec) -> Path:
        """File of a network's weights: the given checkpoint, or its place in the store."""
        return spec.checkpoint or self._folder / spec.id / "network.pt"

    def get(
        self,
        settings: CellSettings,
        spec: AnnSpec,
        title: str,
        data: DataModule,
        on_wait: OnWait | None = None,
    ) -> TrainedAnn:
        """Network in eval mode with its weights; trains it if nobody has.

        Args:
            settings: say where training runs, and how its images are read.
            spec: which network.
            title: what others are told while it is trained.
            data: its data module, set up; says how many classes and channels there are.
            on_wait: called once where another process trains it already.

        Raises:
            CheckpointError: the weights do not fit the network, or it cannot start from those it should.
            StoreError: the store cannot be written.
            MemoryExhausted: the training needs more memory than there is.
        """
        start = None
        if spec.start is not None and not self.path_of(spec).is_file():
            start = self.get(settings, spec.start, title, data, on_wait).network
        pl.seed_everything(spec.seed, workers=True, verbose=False)
        network = spec.network.chosen.build(len(data.classes), data.image_shape[0])
        path = self.path_of(spec)
        if spec.checkpoint is None:
            self._set_damaged_aside(spec, path, title)
        seconds = 0.0
        if not path.is_file():
            with self._claims.wait(f"ann-{spec.id}", title, on_wait or (lambda holding: None)) as claim:
                if not path.is_file():  # the process that we waited for may have died
                    if spec.network.trained_here:
                        seconds = self._train(settings, spec, network, start, claim.progress)
                    _save(network, path)
                    for leftover in path.parent.glob("*.ckpt"):  # not before the weights are safe
                        leftover.unlink(missing_ok=True)
        return TrainedAnn(network.eval(), networks.load_weights(network, path), seconds)

    def _set_damaged_aside(self, spec: AnnSpec, path: Path, title: str) -> None:
        """A network of the store that is not what was written there is made again."""
        if path.is_file() and not holds_weights_alone(path):
            with self._claims.wait(f"ann-{spec.id}", title, lambda holding: None):
                if path.is_file() and not holds_weights_alone(path):
                    path.replace(path.with_suffix(".damaged"))
                    _log.warning("%s was damaged; it is made again, and kept as %s.damaged", path, path.stem)

    def _train(
        self,
        settings: CellSettings,
        spec: AnnSpec,
        network: nn.Module,
        start: nn.Module | None,
        progress: ProgressFile,
    ) -> float:
        folder, data = self._folder / spec.id, training_data(settings.evaluation, spec)
        if start is not None:
            networks.start_from(network, start, torch.cat(data.calibration_batches()))
        module = settings.task.module(network, data, spec.training)
        started = time.monotonic()
        progress.begin("training", spec.training.epochs, "epochs")
        trainer = _trainer(settings.trainer, spec, folder, progress)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=_sound(folder / LAST, module), weights_only=True)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(repr(error)):
                raise
            raise MemoryExhausted(
                f"training {spec.network.name} ran out of memory with batches of {spec.training.batch_size} "
                f"images. {MEMORY_ADVICE}.\n{error}"
            ) from error
        if trainer.interrupted:
            raise KeyboardInterrupt
        network.to("cpu")
        return time.monotonic() - started


def trained_ann(cell: Cell, data: DataModule, anns: AnnStore, display: Display) -> TrainedAnn:
    """The network of a cell; where it has to be trained first, the display shows it."""
    spec = cell.ann
    if spec.network.trained_here and not anns.path_of(spec).is_file():
        display.training(f"{cell.network} on {cell.dataset}", spec.training.epochs)

    def waiting(holding: Holding) -> None:
        display.note(f"waiting for {holding.who}, which trains {holding.title}")

    return anns.get(cell.settings, spec, ann_title(cell), data, waiting)


def ann_title(cell: Cell) -> str:
    """A cell's network for people."""
    return f"{cell.dataset} / {cell.network} / seed {cell.ann.seed}"


def _trainer(where: TrainerSpec, spec: AnnSpec, folder: Path, progress: ProgressFile) -> pl.Trainer:
    return pl.Trainer(
        accelerator=where.accelerator,
        devices=where.devices,
        strategy=where.training_strategy,
        deterministic=where.deterministic,
        precision=spec.training.precision,  # type: ignore[arg-type]
        max_epochs=spec.training.epochs,
        callbacks=[
            EndsWithParent(),
            EpochSeeds(spec.seed),
            EpochReport(progress),
            ModelCheckpoint(folder, filename=LAST.stem, enable_version_counter=False),
        ],
        logger=False,
        # inside a Slurm job, too, a trainer starts its own processes
        plugins=[LightningEnvironment(), WholeCheckpoints()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint all or nothing, and says what to do where that is not possible.

    Lightning writes its own to the system's temporary folder; where that is another disk, it is then copied,
    and a kill or a full disk leaves half of it in the place of the one before.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())


class EndsWithParent(pl.Callback):
    """Processes that a trainer starts, one a device, end with it however it ends.

    PyTorch sends them an interrupt, which workers ignore, and with them whatever they start.
    """

    def __init__(self) -> None:
        self._parent = os.getpid()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """In such a process, once it begins."""
        if os.getppid() == self._parent:
            end_with(self._parent)
            hide_lightning_hints()


class EpochSeeds(pl.Callback):
    """Seeds every epoch by its number, so that a continued training draws the same random numbers.

    With `evaluation.num_workers`, the loader's processes have seeds of their own, which Lightning does not
    store: there a continued training is as good as an undisturbed one, but not the same.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._first = True  # epoch of this process

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed torch, numpy and Python."""
        seed = (self._seed * 1_000_003 + trainer.current_epoch) % 2**32
        pl.seed_everything(seed, workers=True, verbose=False)
        if self._first:  # later epochs open their loader after this moment, which draws once
            torch.empty((), dtype=torch.int64).random_()
            self._first = False


def _sound(checkpoint: Path, module: pl.LightningModule) -> Path | None:
    """An interrupted training's checkpoint; None without one. A damaged one is set aside."""
    if not checkpoint.exists():
        return None
    content = plain_content(checkpoint) if checkpoint.is_file() else None
    if isinstance(content, dict) and content.keys() >= NEEDED and _fits(content["state_dict"], module):
        return checkpoint
    aside = checkpoint.with_suffix(".damaged")
    checkpoint.replace(aside)
    _log.warning("%s was damaged; the training begins anew, and it is kept as %s", checkpoint, aside.name)
    return None


def _fits(state: Any, module: pl.LightningModule) -> bool:
    """Whether a state dict has the tensors of a module."""
    own = module.state_dict()
    if not isinstance(state, dict) or state.keys() != own.keys():
        return False
    return all(
        isinstance(each, torch.Tensor) and each.shape == own[name].shape for name, each in state.items()
    )


def _save(network: nn.Module, path: Path) -> None:
    """Equal weights give equal bytes: torch names the archive after the file, a stream has no name."""
    content = io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, content)
    write_atomically(path, content.getvalue())
