"""A tiny segmentation network on tiny scenes."""

from __future__ import annotations

import pytest
import torch

from datamodules import LoaderConfig, registry
from lightning_modules import networks
from lightning_modules.segmentation import SegmentationModule


@pytest.fixture
def data():
    loader = LoaderConfig(batch_size=4, calibration_images=6)
    module = registry.build("digit_scene_masks", {"train_images": 12, "test_images": 6}, loader)
    module.setup()
    return module


@pytest.fixture
def module(data):
    torch.manual_seed(0)
    network = networks.build("fcn", 11, 1, {"width": 8, "auxiliary": True})
    with torch.no_grad():  # batch-norm statistics of real images, so that activations are sane
        network.train()
        for _ in range(10):
            network.training_logits(torch.cat(data.calibration_batches()))
    return SegmentationModule(network.eval(), data.classes)
