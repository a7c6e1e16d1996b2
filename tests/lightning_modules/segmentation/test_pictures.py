"""Pictures show label maps in the data set's own colours, hard-edged."""

from __future__ import annotations

import numpy as np
from PIL import Image

from conversion import convert
from lightning_modules.detection.pictures import GAP, TITLE
from lightning_modules.segmentation.legend import LINE, SWATCH, with_legend
from lightning_modules.segmentation.pictures import _entries, coloured, segmentation_pictures


def test_colours_by_hand():
    labels = np.array([[0, 1], [2, 255]])
    colours = ((1, 2, 3), (40, 50, 60), (7, 8, 9))
    assert coloured(labels, colours).tolist() == [[[1, 2, 3], [40, 50, 60]], [[7, 8, 9], [255, 255, 255]]]


def test_one_row_per_image_with_every_network(module, data):
    snn = convert(module.network, "burst", data.calibration_batches())
    batch = next(iter(data.test_dataloader()))
    options = data.options
    rows = segmentation_pictures(module, snn, batch, (1, 4), options.mean, options.std, data.colours)
    assert len(rows) == 4
    assert {row.width for row in rows} == {5 * (256 + GAP) - GAP}
    for row, one in zip(rows, batch[1], strict=True):
        left = 256 + GAP  # the second panel
        drawn = np.array(row.crop((left, TITLE, left + 256, TITLE + 256)))
        expected = np.array(data.colours, dtype=np.uint8)[one["labels"].numpy()]
        assert np.array_equal(drawn[2::4, 2::4], expected)
        every = {
            tuple(colour)
            for colour in np.array(row.crop((left, TITLE, row.width, TITLE + 256))).reshape(-1, 3)
        }
        below = {tuple(colour) for colour in np.array(row.crop((0, TITLE + 256, *row.size))).reshape(-1, 3)}
        every.discard((255, 255, 255))  # gaps
        assert every <= set(data.colours)
        assert every <= below  # each class that a panel shows has its colour in the legend
        assert not (set(data.colours) - every) & below - {(0, 0, 0)}  # and no other has


def test_a_legend_breaks_lines_and_leaves_the_picture_alone():
    picture = Image.new("RGB", (120, 10), (9, 9, 9))
    entries = [("road", (200, 0, 0)), ("a longer name", (0, 200, 0)), ("sky", (0, 0, 200))]
    found = with_legend(picture, entries)
    pixels = np.array(found)
    assert (pixels[:10] == 9).all()
    assert found.size == (120, 10 + 4 + 3 * LINE)
    for line, (_, colour) in enumerate(entries):
        middle = pixels[10 + 4 + line * LINE + SWATCH // 2]
        assert middle[SWATCH // 2].tolist() == list(colour)
        assert (middle[SWATCH + 4 :].sum(-1) < 300).any()  # the name beside it
    assert with_legend(picture, entries[:1]).height == 10 + 4 + LINE
    assert with_legend(picture, []) is picture


def test_what_does_not_count_is_named_once():
    classes, colours = ("road", "sky", "car"), ((1, 1, 1), (2, 2, 2), (3, 3, 3))
    assert _entries({2, 0, 255}, classes, colours) == [
        *(("road", (1, 1, 1)), ("car", (3, 3, 3)), ("not counted", (255, 255, 255)))
    ]
    assert _entries({1}, classes, colours) == [("sky", (2, 2, 2))]
