"""Deep images keep their depth, odd colour modes their colours, and what has no known white is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.detection.samples import decode
from datamodules.errors import DataError
from datamodules.images import check_image, check_whole, read_image, stored_size
from datamodules.samples import FileSamples

RAMP = np.arange(0, 65536, 257, dtype=np.int64)  # every 8-bit grey, with 16 bits
GREYS = np.arange(256).reshape(16, 16)


def write(path: Path, pixels: np.ndarray, **settings) -> Path:
    Image.fromarray(pixels).save(path, **settings)
    return path


def greys(path: Path) -> np.ndarray:
    """What every reader of the project makes of a grey file; they must agree."""
    grey, colour = np.array(read_image(path, "L")), np.array(read_image(path, "RGB"))
    assert (colour == grey[..., None]).all()
    assert (decode(path).numpy() == grey).all()
    return grey


def big_endian(pixels: np.ndarray) -> Image.Image:
    return Image.frombytes("I;16B", pixels.shape[::-1], pixels.astype(">u2").tobytes())


@pytest.mark.parametrize(
    "save",
    [
        lambda folder, deep: write(folder / "a.png", deep.astype(np.uint16)),
        lambda folder, deep: write(folder / "a.tif", deep.astype(np.uint16)),
        lambda folder, deep: write(folder / "a.tif", deep.astype(np.uint16), compression="tiff_lzw"),
        lambda folder, deep: write(folder / "a.pgm", deep.astype(np.int32)),
        lambda folder, deep: write(folder / "a.tif", deep.astype(np.int32)),
        lambda folder, deep: write(folder / "a.jp2", deep.astype(np.uint16), irreversible=False),
        lambda folder, deep: (big_endian(deep).save(folder / "a.tif"), folder / "a.tif")[1],
    ],
    ids=["png", "tiff", "tiff lzw", "pgm", "mode I tiff", "jpeg 2000", "big endian"],
)
def test_sixteen_bits_become_eight_by_257(tmp_path, save):
    np.testing.assert_array_equal(greys(save(tmp_path, RAMP.reshape(16, 16))), GREYS)


def test_values_between_the_steps_keep_their_order(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 20))
    seen = greys(write(tmp_path / "a.png", deep.astype(np.uint16)))
    assert np.abs(seen - deep / 257).max() < 1
    assert (np.diff(seen.flatten()[np.argsort(deep.flatten())].astype(int)) >= 0).all()


def test_twelve_bits_have_a_white_of_their_own(tmp_path):
    """A TIFF of 12 bits, written by hand: 2x1 pixels, 0xFFF and 0x800, packed into three bytes."""
    tags = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 3)]
    entries = b"".join(
        t.to_bytes(2, "little") + k.to_bytes(2, "little") + n.to_bytes(4, "little") + v.to_bytes(4, "little")
        for t, k, n, v in tags
    )
    content = b"II*\0" + (12).to_bytes(4, "little") + b"\xff\xf8\x00\0"
    (tmp_path / "a.tif").write_bytes(content + len(tags).to_bytes(2, "little") + entries + bytes(4))
    assert greys(tmp_path / "a.tif").tolist() == [[255, 127]]


@pytest.mark.parametrize(
    ("dtype", "values", "seen"),
    [(np.uint16, (0, 257, 65535), (255, 254, 0)), (np.float32, (0, 0.5, 1), (255, 127, 0))],
)
def test_tiffs_that_call_zero_white(tmp_path, dtype, values, seen):
    file = write(tmp_path / "a.tif", np.array([values], dtype), tiffinfo={262: 0})
    with Image.open(file) as image:
        written = image.tag_v2[262]
    if written != 0:  # PIL writes what the mode says
        content = file.read_bytes()
        entry = content.index((262).to_bytes(2, "little") + (3).to_bytes(2, "little"))
        file.write_bytes(content[: entry + 8] + bytes(4) + content[entry + 12 :])
    np.testing.assert_allclose(greys(file).flatten(), seen, atol=1)


def test_floats_from_zero_to_one_are_scaled(tmp_path):
    np.testing.assert_array_equal(greys(write(tmp_path / "a.tif", (GREYS / 255).astype(np.float32))), GREYS)
    assert greys(write(tmp_path / "b.tif", np.full((2, 2), 0.5, np.float32)))[0, 0] in (127, 128)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.array([[0, 255.0]], np.float32), "floating-point numbers from 0 to 255"),
        (np.array([[-0.1, 1]], np.float32), "floating-point numbers from -0.1 to 1"),
        (np.array([[0.5, np.nan]], np.float32), "floating-point numbers from nan to nan"),
        (np.array([[0.5, np.inf]], np.float32), "floating-point numbers from 0.5 to inf"),
        (np.array([[0, 65536]], np.int32), "whole numbers from 0 to 65536"),
        (np.array([[-1, 400]], np.int32), "whole numbers from -1 to 400"),
        (np.array([[0, 200]], np.int32), "whole numbers from 0 to 200"),  # 8 bits in 32, or a dark image?
    ],
)
def test_values_without_a_known_white_are_refused(tmp_path, pixels, message):
    file = write(tmp_path / "a.tif", pixels)
    for read in (decode, check_image, lambda path: read_image(path, "L")):
        with pytest.raises(DataError, match=rf"a\.tif holds {message}.*8 or 16 bits"):
            read(file)


def test_black_is_black_at_any_depth(tmp_path):
    for number, dtype in enumerate((np.uint8, np.uint16, np.int32, np.float32)):
        assert not greys(write(tmp_path / f"{number}.tif", np.zeros((3, 3), dtype))).any()


COLOUR = np.array([[[200, 100, 50], [10, 20, 250]], [[0, 0, 0], [255, 255, 255]]], np.uint8)


def with_alpha(image: Image.Image) -> Image.Image:
    image.putalpha(Image.new("L", image.size, 40))
    return image


def palette(transparency: object = None) -> Image.Image:
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "P")
    image.putpalette(COLOUR.flatten().tolist())
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.png", lambda: with_alpha(Image.fromarray(COLOUR))),
        ("a.tif", lambda: with_alpha(Image.fromarray(COLOUR))),
        ("a.png", lambda: palette()),
        ("a.png", lambda: palette(b"\x00\x80\xff\xff")),
        ("a.png", lambda: palette(1)),
        ("a.gif", lambda: palette(1)),
        ("a.bmp", lambda: palette()),
        ("a.tif", lambda: Image.fromarray(COLOUR).convert("CMYK")),
    ],
)
def test_colours_survive_transparency_palettes_and_inks(tmp_path, name, image):
    image().save(tmp_path / name)
    np.testing.assert_array_equal(np.array(read_image(tmp_path / name, "RGB")), COLOUR)
    np.testing.assert_array_equal(decode(tmp_path / name).permute(1, 2, 0), COLOUR)
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(np.array(read_image(tmp_path / name, "L")), luma, atol=1)


def test_a_cmyk_jpeg_has_the_colours_of_its_inks(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "CMYK"
    assert (decode(tmp_path / "a.jpg").permute(1, 2, 0).int() - torch.from_numpy(flat)).abs().max() <= 4


@pytest.mark.parametrize("mode", ["LA", "PA"])
def test_greys_with_transparency(tmp_path, mode):
    grey = with_alpha(Image.fromarray(GREYS.astype(np.uint8))).convert(mode)
    grey.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(greys(tmp_path / "a.tif"), GREYS)


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "a.png")
    assert greys(tmp_path / "a.png").tolist() == [[0, 255]]


def test_colours_with_sixteen_bits_lose_the_lower_eight(tmp_path):
    """PIL reads no more; a PNG of one pixel (0x8000, 0x0000, 0xFFFF), written by hand."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    row = zlib.compress(b"\0" + b"\x80\x00\x00\x00\xff\xff")
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert decode(tmp_path / "a.png").flatten().tolist() == [128, 0, 255]


def test_files_of_a_classification_set_keep_their_depth(tmp_path):
    write(tmp_path / "a.png", np.full((4, 4), 32768, np.uint16))
    to_tensor = lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1)  # noqa: E731
    files = FileSamples(tmp_path, [(str(tmp_path / "a.png"), 0)], 3, to_tensor, torch.Tensor.float)
    assert files[0][0].unique().tolist() == [127]


@pytest.mark.parametrize("read", [decode, stored_size, check_whole, check_image])
@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_what_is_no_image_is_named(tmp_path, read, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"(cannot decode the|there is no) (image|label file) .*a\.png"):
        read(tmp_path / "a.png")
