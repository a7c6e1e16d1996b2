"""Cells: one configuration each, named by the hash of everything that determines its result."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.errors import AnnError
from benchmarks.settings import CellSettings
from benchmarks.spec import DatasetSpec, Matrix, NetworkSpec
from benchmarks.tasks import TrainingSpec
from conversion import Recipe
from leaderboard.records.record import Tuning, content_hash

# Raised whenever a change makes the same configuration give other results.
EVALUATION_VERSION = 1


@dataclass(frozen=True)
class AnnSpec:
    """One trained network: shared by every cell that names the same data, network and seed."""

    dataset: DatasetSpec
    network: NetworkSpec
    training: TrainingSpec
    seed: int
    data_root: Path | None
    start: AnnSpec | None = None  # whose weights training begins with

    @cached_property
    def checkpoint(self) -> Path | None:
        """File with the weights, if they are not trained here.

        Raises:
            AnnError: the file does not exist.
        """
        if self.network.checkpoint is None:
            return None
        given = Path(self.network.checkpoint).expanduser()
        path = given if given.is_absolute() or self.data_root is None else self.data_root / given
        if not os.path.isfile(path):  # a name may be too long for a file
            raise AnnError(
                f"network '{self.network.name}': no checkpoint file {path}. Relative paths start at the "
                "data root: pass --data-root DIR or set SPIKEMARK_DATA."
            )
        return path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Everything that determines the weights."""
        origin: dict[str, Any]
        if self.checkpoint is not None:
            origin = {"checkpoint_sha256": hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()}
        elif self.network.trained_here:
            origin = {"training": self.training.model_dump(), "seed": self.seed}
            if self.start is not None:
                origin["start"] = self.start.config
        else:
            origin = {}  # the option "weights" names them
        return {
            "dataset": {"name": self.dataset.name, **self.dataset.options},
            "network": {"name": self.network.name, **self.network.options},
            **origin,
        }

    @cached_property
    def id(self) -> str:
        """Hash of the configuration."""
        return content_hash(self.config)


@dataclass(frozen=True)
class Cell:
    """One cell of a matrix; it knows nothing of the others."""

    settings: CellSettings
    ann: AnnSpec
    recipe: Recipe
    seed: int
    tuning: Tuning | None = None  # how the recipe's parameters were found

    @property
    def dataset(self) -> str:
        """Name of the data set on the leaderboard."""
        return self.ann.dataset.label or self.ann.dataset.name

    @property
    def network(self) -> str:
        """Name of the network on the leaderboard."""
        return self.ann.network.label or self.ann.network.name

    @property
    def is_tuned_for(self) -> bool:
        """Whether the recipe was tuned for this data set, network and seed."""
        found = self.tuning
        here = (self.dataset, self.network, self.seed)
        return found is not None and (found.dataset, found.network, found.seed) == here

    @property
    def title(self) -> str:
        """Short name for people."""
        return f"{self.dataset} / {self.network} / {self.recipe.label} / seed {self.seed}"

    @cached_property
    def config(self) -> dict[str, Any]:
        """Resolved configuration; where the work runs and who watches it is not part of it."""
        evaluation = self.settings.evaluation
        return {
            "version": EVALUATION_VERSION,
            "task": self.settings.task.name,
            "ann": self.ann.config,
            "recipe": {"name": self.recipe.name, **self.recipe.parts()},
            "time_steps": list(self.settings.time_steps),
            "calibration_images": evaluation.calibration_images,
            "test_images": evaluation.test_images,
            "precision": evaluation.precision,
            "seed": self.seed,
        }

    @cached_property
    def id(self) -> str:
        """Hash of the configuration: the cell's name on disk."""
        return content_hash(self.config)


def expand(matrix: Matrix, data_root: Path | None) -> list[Cell]:
    """All cells of a matrix and of those in its `also`, cells of one network side by side.

    Raises:
        AnnError: a checkpoint file does not exist.
    """
    return [cell for part in matrix.all_parts() for cell in expand_one(part, data_root)]


def expand_one(matrix: Matrix, data_root: Path | None) -> list[Cell]:
    """The cells of one matrix, without those in its `also`.

    Raises:
        AnnError: a checkpoint file does not exist.
    """
    cells, settings = [], matrix.settings
    for seed in matrix.seeds:
        for dataset in matrix.datasets:
            for network in matrix.networks:
                ann = _ann(matrix, dataset, network, seed, data_root)
                for entry in network.recipes or matrix.recipes:
                    cell = Cell(settings, ann, entry.recipe, seed, entry.tuning)
                    if entry.tuning is None or cell.is_tuned_for:
                        cells.append(cell)
    return cells


def _ann(
    matrix: Matrix, dataset: DatasetSpec, network: NetworkSpec, seed: int, data_root: Path | None
) -> AnnSpec:
    start = None if network.start is None else _ann(matrix, dataset, network.start, seed, data_root)
    return AnnSpec(dataset, network, network.training or matrix.training, seed, data_root, start)
