"""Cityscapes: ids become the 19 classes, and what does not fit is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import Cityscapes as Official

from datamodules import DataError


def test_ids_become_training_classes(streets):
    data = streets.build()
    ((_, targets),) = list(data.test_dataloader())
    labels = targets[0]["labels"]
    assert labels.shape == (34, 40)
    for stored in Official.classes:
        if stored.id >= 0:  # row `id` of the file holds that id
            expected = stored.train_id if stored.train_id in range(19) else 255
            assert (labels[stored.id] == expected).all()
    assert sorted(set(labels.flatten().tolist())) == [*range(19), 255]


def test_classes_and_colours_are_the_official_ones(streets):
    data = streets.build()
    assert (data.classes[0], data.classes[13], data.classes[18]) == ("road", "car", "bicycle")
    assert (data.colours[0], data.colours[11]) == ((128, 64, 128), (220, 20, 60))
    assert len(data.classes) == len(data.colours) == 19


def test_pixels_of_the_training_split_are_counted(streets):
    assert streets.build().class_pixels().tolist() == [3 * 40] * 19


def test_full_resolution_keeps_the_image_as_it_is(streets):
    data = streets.build()
    ((images, targets),) = list(data.test_dataloader())
    first = sorted((streets.base / "leftImg8bit" / "val" / "town").iterdir())[0]
    pixels = torch.from_numpy(np.array(Image.open(first))).permute(2, 0, 1) / 255
    restored = images[0] * torch.tensor(data.options.std).view(3, 1, 1)
    torch.testing.assert_close(restored + torch.tensor(data.options.mean).view(3, 1, 1), pixels)
    assert targets[0]["letterbox"].tolist() == [1, 1, 0, 0, 40, 34]


def test_a_missing_label_file_is_named(streets):
    streets.label().unlink()
    with pytest.raises(DataError, match=r"no label file .*val/town/town_000000_000019_gtFine_labelIds.png"):
        streets.build().setup()


def test_a_missing_folder_shows_the_layout(streets):
    with pytest.raises(DataError, match=r"gtFine/\{train,val\}/CITY"):
        streets.build({"path": "elsewhere"}).setup()


def overwritten(file, how):
    ids = np.array(Image.open(file))
    if how == "size":
        Image.fromarray(ids[:-2]).save(file)
    elif how == "id":
        ids[0, 0] = 77
        Image.fromarray(ids).save(file)
    elif how == "wide id":
        Image.fromarray(ids.astype(np.uint16) + 300).save(file)
    elif how == "palette":
        Image.fromarray(ids).convert("P").save(file)
    elif how == "colours":
        Image.fromarray(np.stack([ids] * 3, -1)).save(file)
    elif how == "truncation":
        file.write_bytes(file.read_bytes()[:-30])
    else:
        file.write_bytes(b"no image")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("size", r"labelIds.png has 40x32 pixels, its image .*leftImg8bit.png has 40x34"),
        ("palette", r"labelIds.png is a palette image.*_labelIds.png, not \*_gtFine_color.png"),
        ("colours", r"labelIds.png holds colours \(mode RGB\)"),
        ("damage", r"cannot decode the label file .*labelIds.png"),
        ("truncation", r"cannot decode the label file .*labelIds.png"),
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_label_file_that_does_not_fit_is_named_before_the_training(streets, split, how, message):
    overwritten(streets.label(split), how)
    with pytest.raises(DataError, match=message):
        streets.build().setup()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("id", r"labelIds.png holds the id\(s\) 77, which do not exist; ids go from 0 to 33"),
        ("wide id", r"labelIds.png holds ids from 300 to 333, which do not exist"),
    ],
)
def test_an_id_that_does_not_exist_is_named(streets, how, message):
    overwritten(streets.label(), how)
    data = streets.build()
    data.setup()
    with pytest.raises(DataError, match=message):
        list(data.test_dataloader())


def test_an_image_that_is_none_is_named_before_the_training(streets):
    next((streets.base / "leftImg8bit" / "val" / "town").iterdir()).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cannot decode the image .*leftImg8bit.png"):
        streets.build().setup()


@pytest.mark.parametrize(
    "options",
    [{"image_size": [8, 8]}, {"test_size": [64]}, {"scales": [2, 1]}, {"photometric": -1}, {"mean": 3}],
)
def test_bad_options_are_refused(streets, options):
    with pytest.raises(DataError, match=f"cityscapes.*({next(iter(options))})"):
        streets.build(options)
