"""Data modules of a matrix: one to calibrate and test on, one to train on."""

from __future__ import annotations

from benchmarks.cells import AnnSpec
from benchmarks.spec import Matrix
from datamodules import DataModule, LoaderConfig
from datamodules import registry as datasets


def evaluation_data(matrix: Matrix, spec: AnnSpec, more_images: int = 0) -> DataModule:
    """Data that networks are calibrated and tested on.

    Args:
        matrix: says how many images and in which batches.
        spec: says which data set, and which seed draws the calibration images.
        more_images: training images to draw after the matrix's own calibration images, which stay
            the same.
    """
    evaluation = matrix.evaluation
    loader = LoaderConfig(
        root=spec.data_root,
        batch_size=evaluation.batch_size,
        num_workers=evaluation.num_workers,
        calibration_images=evaluation.calibration_images + more_images,
        seed=spec.seed,
        test_images=evaluation.test_images,
    )
    return datasets.build(spec.dataset.name, spec.dataset.options, loader)


def training_data(matrix: Matrix, spec: AnnSpec) -> DataModule:
    """Data that the network is trained on."""
    loader = LoaderConfig(
        root=spec.data_root,
        batch_size=spec.training.batch_size,
        num_workers=matrix.evaluation.num_workers,
    )
    return datasets.build(spec.dataset.name, spec.dataset.options, loader)
