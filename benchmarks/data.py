"""Data modules of cells: one to calibrate and test on, one to train on."""

from __future__ import annotations

from benchmarks.cells import AnnSpec
from benchmarks.settings import EvaluationSpec
from datamodules import DataModule, LoaderConfig


def evaluation_data(evaluation: EvaluationSpec, spec: AnnSpec, more_images: int = 0) -> DataModule:
    """Data that networks are calibrated and tested on.

    Args:
        evaluation: how many images and in which batches.
        spec: which data set, and which seed draws the calibration images.
        more_images: training images to draw after the calibration images, which stay the same.
    """
    loader = LoaderConfig(
        root=spec.data_root,
        batch_size=evaluation.batch_size,
        num_workers=evaluation.num_workers,
        calibration_images=evaluation.calibration_images + more_images,
        seed=spec.seed,
        test_images=evaluation.test_images,
    )
    return spec.dataset.chosen.build(loader)


def training_data(evaluation: EvaluationSpec, spec: AnnSpec) -> DataModule:
    """Data that the network is trained on, read by as many processes as in the evaluation."""
    loader = LoaderConfig(
        root=spec.data_root,
        batch_size=spec.training.batch_size,
        num_workers=evaluation.num_workers,
    )
    return spec.dataset.chosen.build(loader)
