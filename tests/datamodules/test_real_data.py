"""Checks on real photographs, where the machine has some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from datamodules.base import LoaderConfig
from datamodules.registry import build


def test_cifar10_as_an_image_folder():
    root = os.environ.get("SPIKEMARK_DATA")
    if not root or not (Path(root) / "cifar10/train").is_dir():
        pytest.skip("SPIKEMARK_DATA names no folder with cifar10/train/CLASS/*.png")
    data = build("image_folder", {"path": "cifar10", "image_size": 32}, LoaderConfig(root=Path(root)))
    assert len(data.classes) == 10
    data.check_disjoint(content=True)
    images = torch.cat(data.calibration_batches())
    assert images.shape == (256, 3, 32, 32)
    assert abs(images.mean()) < 0.5
