"""Pictures of detections: ground truth, ANN, and the spiking network at growing t, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from conversion import Converted
from lightning_modules.detection.module import DetectionModule
from lightning_modules.detection.postprocess import detect

# Okabe and Ito's colours, which colour-blind people can tell apart; black stands out on no ground.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
LEAST_SCORE = 0.3  # of a box that is drawn
LEAST_WIDTH = 256  # pixels of a panel
GAP = 6  # pixels between panels
TITLE = 20  # pixels above a panel


@dataclass(frozen=True)
class Drawn:
    """Boxes on one panel."""

    title: str
    boxes: Tensor  # [N, 4] input pixels
    labels: Tensor  # [N]
    scores: Tensor | None = None  # [N]; None for ground truth


@torch.no_grad()
def detection_pictures(
    module: DetectionModule,
    snn: Converted,
    batch: tuple[Tensor, Sequence[Mapping[str, Any]]],
    time_steps: Iterable[int],
    mean: Sequence[float],
    std: Sequence[float],
    least_score: float = LEAST_SCORE,
) -> list[Image.Image]:
    """Draw one row of panels for each image of a batch.

    Args:
        module: the detector's module; its post-processing is used for both networks.
        snn: its converted network.
        batch: images [B, C, H, W] and their targets.
        time_steps: when the spiking network is read out.
        mean: per channel, to undo the scaling of pixels.
        std: per channel.
        least_score: boxes below it are not drawn.

    Returns:
        B pictures.
    """
    images, targets = batch
    size = (int(images.shape[-2]), int(images.shape[-1]))
    columns = [[Drawn("ground truth", one["boxes"], one["labels"]) for one in targets]]
    outputs = [("ANN", module.network(images))]
    outputs += [(snn.title(readout.t), readout.output) for readout in snn.simulate(images, time_steps)]
    for title, raw in outputs:
        found = detect(*module.network.decode(raw, size), module.postprocessing)
        columns.append([_above(title, *one, least_score) for one in found])
    shape = (-1, 1, 1)
    pixels = images.cpu() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    return [
        picture(image, [column[row] for column in columns], module.classes)
        for row, image in enumerate(pixels)
    ]


def picture(image: Tensor, panels: Sequence[Drawn], classes: Sequence[str]) -> Image.Image:
    """Draw panels of one image [C, H, W], values in [0, 1], side by side."""
    array = (255 * image.clamp(0, 1)).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()
    height, width = array.shape[:2]
    zoom = max(1, -(-LEAST_WIDTH // width))
    ground = Image.fromarray(np.ascontiguousarray(array)).resize((width * zoom, height * zoom))
    step = width * zoom + GAP
    whole = Image.new("RGB", (step * len(panels) - GAP, height * zoom + TITLE), "white")
    font = ImageFont.load_default(size=12)
    for number, panel in enumerate(panels):
        view = ground.copy()
        pen = ImageDraw.Draw(view)
        for row, (box, label) in enumerate(
            zip((panel.boxes * zoom).tolist(), panel.labels.tolist(), strict=True)
        ):
            colour = PALETTE[label % len(PALETTE)]
            pen.rectangle(box, outline=colour, width=2)
            score = "" if panel.scores is None else f" {float(panel.scores[row]):.2f}"
            _tag(pen, (box[0], box[1]), f"{classes[label]}{score}", colour, font)
        whole.paste(view, (number * step, TITLE))
        ImageDraw.Draw(whole).text((number * step + 2, 2), panel.title, fill="black", font=font)
    return whole


def _above(title: str, boxes: Tensor, scores: Tensor, labels: Tensor, least: float) -> Drawn:
    keep = scores >= least
    return Drawn(title, boxes[keep].cpu(), labels[keep].cpu(), scores[keep].cpu())


def _tag(pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: str, font: Any) -> None:
    """A label above a corner, or inside where there is no room."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x, y = max(corner[0], 0), corner[1] - (bottom - top) - 4
    y = corner[1] if y < 0 else y
    pen.rectangle((x, y, x + right - left + 4, y + bottom - top + 4), fill=colour)
    pen.text((x + 2 - left, y + 2 - top), text, fill="black", font=font)
