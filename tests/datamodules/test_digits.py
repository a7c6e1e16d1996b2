from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from datamodules.base import LoaderConfig
from datamodules.digits import MEAN, STD, Digits, DigitsOptions, split_indices


def batch_of_all(data, split):
    return data._samples(split, training=False).__getitems__(range(len(data._samples(split, training=False))))


def test_the_split_is_complete_stratified_and_fixed():
    labels = load_digits().target
    split = split_indices(labels)
    assert len(split["test"]) == 500
    assert sorted([*split["train"], *split["test"]]) == list(range(1797))
    share = np.bincount(labels) * 500 / 1797
    assert (np.abs(np.bincount(labels[split["test"]]) - share) < 1).all()
    # The split is part of every published number, so it must never move.
    assert split["test"][:8].tolist() == [9, 11, 15, 17, 18, 22, 23, 24]


def test_the_default_size_has_mean_0_and_deviation_1():
    data = Digits(DigitsOptions(), LoaderConfig())
    data.setup()
    images, _ = batch_of_all(data, "train")
    assert images.shape == (1297, 1, 16, 16)
    assert abs(images.mean()) < 1e-3
    assert abs(images.std() - 1) < 1e-3


def test_size_8_keeps_the_pixels_and_16_enlarges_them_bilinearly():
    eight, sixteen = (Digits(DigitsOptions(size), LoaderConfig()) for size in (8, 16))
    eight.setup()
    sixteen.setup()
    small, labels = batch_of_all(eight, "test")
    pixels = torch.from_numpy(load_digits().images).float()
    chosen = split_indices(load_digits().target)["test"]
    torch.testing.assert_close((small[:, 0] * STD + MEAN) * 16, pixels[chosen], atol=1e-4, rtol=0)
    assert labels.tolist() == load_digits().target[chosen].tolist()
    large, _ = batch_of_all(sixteen, "test")
    enlarged = F.interpolate(small, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(large, enlarged, atol=1e-5, rtol=0)
