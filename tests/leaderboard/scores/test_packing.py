"""Arrays as text: what was packed comes back, and what would fill the memory does not."""

from __future__ import annotations

import base64
import io
import zipfile

import numpy as np
import pytest

from leaderboard.scores import packing


def forged(shape: tuple[int, ...], body: int) -> str:
    """An array that says it has this shape, and so many zeros behind."""
    header, stream = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("scores.npy", header.getvalue() + bytes(body))
    return base64.b64encode(stream.getvalue()).decode()


def test_arrays_come_back() -> None:
    arrays = packing.unpack(packing.pack(scores=[1.5, 2.5], count=3), "scores")
    assert arrays["scores"].tolist() == [1.5, 2.5]
    assert arrays["count"] == 3


def test_what_unpacks_to_more_than_any_test_set_needs_is_refused() -> None:
    bomb = forged((packing.LARGEST,), packing.LARGEST)
    assert len(bomb) < 400_000
    with pytest.raises(ValueError, match="scores cannot be unpacked: it would take 256 MiB"):
        packing.unpack(bomb, "scores")


def test_a_shape_beyond_all_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="scores cannot be unpacked"):
        packing.unpack(forged((10**15,), 10), "scores")


def archived(content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("scores.npy", content)
    return stream.getvalue()


def headed(header: str) -> bytes:
    """An array whose header is this text."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def strange() -> dict[str, bytes]:
    """Archives that numpy's readers, or those below them, do not expect."""
    plain = np.lib.format.magic(1, 0)
    lzma = bytearray(archived(bytes(range(256)), zipfile.ZIP_LZMA))
    lzma[60] ^= 0x55
    unknown, locked = bytearray(archived(plain)), bytearray(archived(plain))
    for of, place in ((unknown, 8), (locked, 6)):  # method, flags: in the file's header, and in the directory
        for at in (place, of.index(b"PK\1\2") + place + 2):
            of[at] = 99 if of is unknown else 1
    return {
        "damaged LZMA": bytes(lzma),
        "an unknown method": bytes(unknown),
        "a password": bytes(locked),
        "a header that does not end": archived(headed("{'descr': (((")),
        "a header that is deeply nested": archived(headed("(" * 9000)),
        "a header with strange spaces": archived(headed("{\n  1\n 2L")),
        "an array before the archive": headed("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}")
        + archived(plain),
    }  # fmt: skip


@pytest.mark.parametrize("kind", strange())
def test_what_readers_do_not_expect_is_a_damaged_text(kind: str) -> None:
    with pytest.raises(ValueError, match="scores cannot be unpacked"):
        packing.unpack(base64.b64encode(strange()[kind]).decode(), "scores")


def test_small_texts_do_not_become_eight_times_the_bound() -> None:
    many = np.zeros(packing.MOST_COUNTS + 1, np.uint8)
    with pytest.raises(ValueError, match=r"objects are \d+ counts, more than \d+"):
        packing.counts(many, "objects", 1)
    assert packing.counts(many[:3], "objects", 1).dtype == np.int64
