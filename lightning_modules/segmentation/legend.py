"""What the colours of label maps mean, below their picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

LINE = 18  # pixels of a line
SWATCH = 12  # side of a square of colour
SPACE = 14  # between entries


def with_legend(picture: Image.Image, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """The picture with a square of colour and a name for each entry, in as many lines as they need.

    Args:
        picture: stays as it is, at the top.
        entries: (name, colour), in reading order; without any, the picture itself comes back.
    """
    if not entries:
        return picture
    font = ImageFont.load_default(size=12)
    places: list[tuple[int, int]] = []
    x = line = 0
    for name, _ in entries:
        width = SWATCH + 4 + round(font.getlength(name))
        if x and x + width > picture.width:
            x, line = 0, line + 1
        places.append((x, picture.height + 4 + line * LINE))
        x += width + SPACE
    whole = Image.new("RGB", (picture.width, picture.height + 4 + (line + 1) * LINE), "white")
    whole.paste(picture, (0, 0))
    pen = ImageDraw.Draw(whole)
    for (name, colour), (left, top) in zip(entries, places, strict=True):
        pen.rectangle((left, top, left + SWATCH, top + SWATCH), fill=colour, outline="black")
        pen.text((left + SWATCH + 4, top - 1), name, fill="black", font=font)
    return whole
