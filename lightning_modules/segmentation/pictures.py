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
from lightning_modules.segmentation.legend import with_legend
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
    """Draw one row of panels for each image of a batch, at the size of its label map, and a legend below.

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
    shown: list[set[int]] = []  # class indices in each row
    for view, one in zip(pixels, targets, strict=True):
        labels = one["labels"].cpu().numpy()
        rows.append([("image", _photograph(view)), ("ground truth", coloured(labels, colours))])
        shown.append(set(np.unique(labels).tolist()))
    outputs = [("ANN", module.network(images))]
    outputs += [(snn.title(readout.t), readout.output) for readout in snn.simulate(images, time_steps)]
    for title, logits in outputs:
        for row, seen, one, found in zip(rows, shown, targets, logits, strict=True):
            labels = label_map(found, one).cpu().numpy()
            row.append((title, coloured(labels, colours)))
            seen |= set(np.unique(labels).tolist())
    return [
        with_legend(_side_by_side(row), _entries(seen, module.classes, colours))
        for row, seen in zip(rows, shown, strict=True)
    ]


def _entries(
    shown: set[int], classes: Sequence[str], colours: Sequence[tuple[int, int, int]]
) -> list[tuple[str, tuple[int, int, int]]]:
    """Name and colour of every class that some panel shows, in the data set's order."""
    entries = [(classes[index], colours[index]) for index in sorted(shown) if index < len(classes)]
    return entries + [("not counted", UNLABELLED)] * (IGNORE in shown)


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
