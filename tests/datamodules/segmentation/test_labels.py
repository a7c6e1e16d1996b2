"""Whatever depth a label file is stored with, its numbers stay the ids that somebody wrote."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DataError
from datamodules.segmentation.labels import LabelIds

IDS = LabelIds({index: index for index in range(34)} | {255: 255})
ROWS = np.arange(16, dtype=np.uint8).reshape(4, 4)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_ids_are_not_scaled_with_the_depth(tmp_path, name, dtype):
    if name == "a.png" and dtype is np.int32:
        pytest.skip("PNG has no 32 bits")
    Image.fromarray(ROWS.astype(dtype)).save(tmp_path / name)
    np.testing.assert_array_equal(IDS.read(tmp_path / name), ROWS)


@pytest.mark.parametrize(("bits", "count"), [(1, 2), (2, 4), (4, 16)])
def test_ids_of_few_bits_are_not_stretched_to_255(tmp_path, bits, count):
    ids = ROWS % count
    Image.fromarray(ids).save(tmp_path / "a.png", bits=bits)
    assert (np.array(Image.open(tmp_path / "a.png")).max() == 1) == (bits == 1)
    np.testing.assert_array_equal(IDS.read(tmp_path / "a.png"), ids)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(ROWS.astype(np.float32)), "floating-point numbers"),
        (Image.fromarray(ROWS).convert("LA"), r"colours \(mode LA\)"),
        (Image.fromarray(ROWS).convert("CMYK"), r"colours \(mode CMYK\)"),
        (Image.fromarray(ROWS.astype(np.int32) - 1), "ids from -1 to 14, which do not exist"),
        (Image.fromarray(ROWS.astype(np.uint16) * 257), "ids from 0 to 3855, which do not exist"),
    ],
)
def test_what_holds_no_ids_is_named(tmp_path, image, message):
    image.save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=rf"a\.tif holds {message}"):
        IDS.read(tmp_path / "a.tif")


def test_a_tiff_that_calls_zero_white_is_refused(tmp_path):
    file = tmp_path / "a.tif"
    Image.fromarray(ROWS).save(file)
    content = file.read_bytes()
    entry = content.index((262).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    file.write_bytes(content[: entry + 8] + bytes(4) + content[entry + 12 :])
    with pytest.raises(DataError, match=r"a\.tif says that 0 is white"):
        IDS.read(file)
