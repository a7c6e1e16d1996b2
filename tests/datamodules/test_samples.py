from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from datamodules.samples import ArraySamples, ChosenSamples, FileSamples


def numbered(count: int, label: int = 0) -> ArraySamples:
    images = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)
    return ArraySamples(images, torch.full((count,), label), range(count), Tensor.float)


def test_identities_hold_the_label():
    assert numbered(1, label=1).identity(0) != numbered(1, label=2).identity(0)
    assert numbered(1, label=1).content(0) == numbered(1, label=2).content(0)


def test_file_identities_hold_path_size_and_label(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    files = FileSamples(tmp_path, [(str(tmp_path / "a.png"), 3)], 1, lambda image: image, Tensor.float)
    assert files.identity(0) == f"a.png|{size}|3".encode()


def test_chosen_samples_keep_the_given_order():
    chosen = ChosenSamples(numbered(10), [7, 2, 5])
    images, labels = chosen.__getitems__([0, 2])
    assert images.flatten().tolist() == [7, 5]
    assert labels.tolist() == [0, 0]
    assert [chosen.key(index) for index in range(len(chosen))] == [7, 2, 5]
    image, label = chosen[1]
    assert image.shape == (1, 1, 1)
    assert (image.item(), label.item()) == (2, 0)
