"""Pictures show label maps in the data set's own colours, hard-edged."""

from __future__ import annotations

import numpy as np

from conversion import convert
from lightning_modules.detection.pictures import GAP, TITLE
from lightning_modules.segmentation.pictures import coloured, segmentation_pictures


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
    assert {row.size for row in rows} == {(5 * (256 + GAP) - GAP, 256 + TITLE)}
    for row, one in zip(rows, batch[1], strict=True):
        left = 256 + GAP  # the second panel
        drawn = np.array(row.crop((left, TITLE, left + 256, TITLE + 256)))
        expected = np.array(data.colours, dtype=np.uint8)[one["labels"].numpy()]
        assert np.array_equal(drawn[2::4, 2::4], expected)
        every = {
            tuple(colour) for colour in np.array(row.crop((left, TITLE, *row.size)))[:, :256].reshape(-1, 3)
        }
        assert every <= set(data.colours)
