"""Pictures as files."""

from __future__ import annotations

import io

from PIL import Image

COLOURS = 128  # of a palette: a third of the bytes, and photographs still look like themselves


def png(picture: Image.Image) -> bytes:
    """A picture as a small PNG file, its colours reduced to a palette fitted to it."""
    stream = io.BytesIO()
    reduced = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    reduced.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
