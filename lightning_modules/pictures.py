"""Pictures as files: PNG, and a piece of HTML for a page to include."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def write_pictures(pictures: Sequence[Image.Image], folder: Path, name: str) -> Path:
    """Write pictures as PNG files and as one piece of HTML that carries them itself.

    Args:
        pictures: one per test image.
        folder: created where it is missing.
        name: of the files: NAME-0.png, ..., NAME.html.

    Returns:
        The piece of HTML: a <figure> for a page to include.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, one in enumerate(pictures):
        stream = io.BytesIO()
        one.save(stream, format="PNG")
        (folder / f"{name}-{number}.png").write_bytes(stream.getvalue())
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        alt = html.escape(f"{name}, test image {number}: ground truth, ANN, and SNN at growing t")
        parts.append(f'<img src="data:image/png;base64,{data}" alt="{alt}" style="max-width: 100%">')
    piece = folder / f"{name}.html"
    piece.write_text("<figure>\n" + "\n".join(parts) + "\n</figure>\n", encoding="utf-8")
    return piece
