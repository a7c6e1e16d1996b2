"""Pictures of label maps: image, ground truth, ANN, and the spiking network at growing t, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from conversion import Converted
from lightning_modules.detection.pictures import GAP, LEAST_WIDTH, TITLE
from lightning_modules.segmentation.metric import IGNORE, label_map
from lightning_modules.segmentation.module import SegmentationModule

UNLABELLED = (255, 255, 255)  # pixels that do not count


@torch.no_grad()
def segmentation_pictures(
    module: SegmentationModule,
    snn: Converted,
    batch: tuple[Tensor, Sequence[Mapping[str, Any]]],
    time_steps: Iterable[int],
    mean: Sequence[float],
    std: Sequence[float],
    colours: Sequence[tuple[int, int, int]],
) -> list[Image.Image]:
    """Draw one row of panels for each image of a batch, at the size of its label map.

    Args:
        module: the segmentation network's module.
        snn: its converted network.
        batch: images [B, C, H, W] and their targets.
        time_steps: when the spiking network is read out.
        mean: per channel, to undo the scaling of pixels.
        std: per channel.
        colours: (red, green, blue) of each class, as the data set draws them.

    Returns:
        B pictures.
    """
    images, targets = batch
    shape = (-1, 1, 1)
    pixels = images.cpu() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    rows: list[list[tuple[str, np.ndarray]]] = []
    for view, one in zip(pixels, targets, strict=True):
        labels = one["labels"].cpu().numpy()
        rows.append([("image", _photograph(view)), ("ground truth", coloured(labels, colours))])
    outputs = [("ANN", module.network(images))]
    outputs += [(snn.title(readout.t), readout.output) for readout in snn.simulate(images, time_steps)]
    for title, logits in outputs:
        for row, one, found in zip(rows, targets, logits, strict=True):
            row.append((title, coloured(label_map(found, one).cpu().numpy(), colours)))
    return [_side_by_side(row) for row in rows]


def coloured(labels: np.ndarray, colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Colours [H, W, 3] uint8 of a label map [H, W]; what is no class is white."""
    table = np.full((IGNORE + 1, 3), UNLABELLED, dtype=np.uint8)
    table[: len(colours)] = colours
    picture: np.ndarray = table[labels]
    return picture


def _photograph(pixels: Tensor) -> np.ndarray:
    array: np.ndarray = (255 * pixels.clamp(0, 1)).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(array)


def _side_by_side(panels: Sequence[tuple[str, np.ndarray]]) -> Image.Image:
    """Panels of the size of the label map, enlarged by a whole factor where that is small."""
    height, width = panels[1][1].shape[:2]
    zoom = max(1, -(-LEAST_WIDTH // width))
    size = (width * zoom, height * zoom)
    whole = Image.new("RGB", ((size[0] + GAP) * len(panels) - GAP, size[1] + TITLE), "white")
    font = ImageFont.load_default(size=12)
    for number, (title, array) in enumerate(panels):
        left = number * (size[0] + GAP)
        # Label maps keep hard edges; only the image itself may have another size.
        whole.paste(Image.fromarray(array).resize(size, Image.Resampling.NEAREST), (left, TITLE))
        ImageDraw.Draw(whole).text((left + 2, 2), title, fill="black", font=font)
    return whole
