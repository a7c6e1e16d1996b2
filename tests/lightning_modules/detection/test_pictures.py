"""Pictures show the boxes they are given, where they are given."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image, ImageChops, ImageColor, ImageStat

from conversion import convert
from lightning_modules.detection.pictures import (
    GAP,
    PALETTE,
    TITLE,
    Drawn,
    detection_pictures,
    picture,
)
from lightning_modules.pictures import png


def test_a_box_is_drawn_on_its_own_panel_alone():
    grey = torch.full((1, 128, 256), 0.5)
    box = Drawn("SNN", torch.tensor([[100.0, 60, 180, 100]]), torch.tensor([1]), torch.tensor([0.75]))
    empty = Drawn("ANN", torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    drawn = picture(grey, [empty, box], ("cat", "dog"))
    assert drawn.size == (2 * 256 + GAP, 128 + TITLE)
    colour = ImageColor.getrgb(PALETTE[1])
    assert drawn.getpixel((256 + GAP + 180, TITLE + 80)) == colour
    assert drawn.getpixel((256 + GAP + 140, TITLE + 100)) == colour
    left = drawn.crop((0, TITLE, 256, TITLE + 128))
    assert left.getcolors() == [(256 * 128, (128, 128, 128))]


def test_one_row_per_image_with_every_network(module, data):
    snn = convert(module.network, "burst", data.calibration_batches())
    batch = next(iter(data.test_dataloader()))
    pictures = detection_pictures(
        module, snn, batch, (1, 4), data.options.mean, data.options.std, least_score=0.0
    )
    assert len(pictures) == 4
    assert {one.size for one in pictures} == {(4 * (256 + GAP) - GAP, 256 + TITLE)}
    for one in pictures:
        with Image.open(io.BytesIO(png(one))) as stored:
            assert stored.size == one.size
            difference = ImageChops.difference(stored.convert("RGB"), one)
            assert ImageStat.Stat(difference).mean == pytest.approx([0, 0, 0], abs=2)
