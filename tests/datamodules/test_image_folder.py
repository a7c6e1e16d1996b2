from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.base import LoaderConfig
from datamodules.errors import DataError
from datamodules.registry import build

pytestmark = pytest.mark.parametrize("sandbox", ["image_folder"], indirect=True)


def test_classes_are_folders_in_alphabetical_order(sandbox):
    data = sandbox.build()
    assert data.classes == ("ant", "bee", "cat")
    labels = torch.cat([labels for _, labels in data.test_dataloader()])
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_limited_test_set_reaches_all_classes(sandbox):
    labels = torch.cat([labels for _, labels in sandbox.build(test_images=6).test_dataloader()])
    assert set(labels.tolist()) == {0, 1, 2}


def test_val_stands_in_for_test(sandbox):
    before = torch.cat([images for images, _ in sandbox.build().test_dataloader()])
    (sandbox.root / "insects/test").rename(sandbox.root / "insects/val")
    after = torch.cat([images for images, _ in sandbox.build().test_dataloader()])
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_pixels_pass_unchanged_apart_from_crop_and_scaling(sandbox):
    images, _ = next(iter(sandbox.build().test_dataloader()))
    pixels = np.asarray(Image.open(sandbox.root / "insects/test/ant/0.png"))  # 20 wide, 16 high
    centre = torch.from_numpy(pixels[:, 2:18].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(images[0], (centre - 0.5) / 0.25)


def test_one_mean_makes_grey_images(sandbox):
    options = sandbox.options | {"mean": [0.5], "std": [0.5]}
    data = build("image_folder", options, LoaderConfig(root=sandbox.root, batch_size=2))
    assert data.image_shape == (1, 16, 16)
    assert next(iter(data.train_dataloader()))[0].shape == (2, 1, 16, 16)


def test_in_memory_gives_the_same_training_batches(sandbox):
    epochs = []
    for in_memory in (False, True):
        options = sandbox.options | {"in_memory": in_memory}
        data = build("image_folder", options, LoaderConfig(root=sandbox.root, batch_size=5))
        loader = data.train_dataloader()
        if in_memory:
            shutil.rmtree(sandbox.root / "insects/train")  # files are not needed any more
        torch.manual_seed(0)
        epochs.append(torch.cat([images for images, _ in loader]))
    torch.testing.assert_close(*epochs, rtol=0, atol=0)


def test_without_augmentation_training_images_are_test_like(sandbox):
    options = sandbox.options | {"augment": False}
    loader = LoaderConfig(root=sandbox.root, batch_size=15, calibration_images=15)
    data = build("image_folder", options, loader)
    (images, _), calibration = next(iter(data.train_dataloader())), torch.cat(data.calibration_batches())
    torch.testing.assert_close(images.flatten(1).sum(1).sort()[0], calibration.flatten(1).sum(1).sort()[0])


def test_different_classes_are_named(sandbox):
    (sandbox.root / "insects/test/cat").rename(sandbox.root / "insects/test/dog")
    with pytest.raises(DataError, match="only in train: cat; only in test: dog"):
        sandbox.build().setup()


def test_an_empty_class_is_named(sandbox):
    folder = sandbox.root / "insects/train/bee"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no images in .*train.bee \(1 empty class"):
        sandbox.build().setup()


def test_a_split_without_class_folders_draws_the_layout(sandbox):
    shutil.rmtree(sandbox.root / "insects/train")
    (sandbox.root / "insects/train").mkdir()
    with pytest.raises(DataError, match=r"no class folders in train(.|\n)*Expected layout"):
        sandbox.build().setup()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_undecodable_image_is_named(sandbox, workers):
    path = sandbox.root / "insects/test/bee/1.png"
    path.write_bytes(path.read_bytes()[:200])
    data = sandbox.build(num_workers=workers)
    with pytest.raises(DataError, match=r"cannot decode the image .*bee.1\.png"):
        list(data.test_dataloader())


def test_something_else_named_png_is_named(sandbox):
    (sandbox.root / "insects/train/ant/0.png").write_text("hello")
    with pytest.raises(DataError, match=r"cannot decode the image .*ant.0\.png"):
        sandbox.build(calibration_images=15).calibration_batches()


def test_linked_and_copied_images_are_found(sandbox):
    train, test = sandbox.root / "insects/train/ant/0.png", sandbox.root / "insects/test/ant"
    shutil.copy(train, test / "copy.png")
    assert sandbox.build().overlap() == []
    assert sandbox.build().overlap(content=True) == [(0, 3)]
    os.symlink(train, test / "link.png")
    with pytest.raises(DataError, match=r"overlap: 1 test image.*test index 4 = training index 0"):
        sandbox.build().check_disjoint()


def test_a_split_linked_to_the_other_is_refused(sandbox):
    shutil.rmtree(sandbox.root / "insects/test")
    os.symlink(sandbox.root / "insects/train", sandbox.root / "insects/test")
    with pytest.raises(DataError, match="are the same folder"):
        sandbox.build().setup()
