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
