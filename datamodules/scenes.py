"""Scenes composed of scikit-learn's digits: several digits of several sizes on a textured ground.

One composer for every task that needs more than a label per image: a scene knows the box and the class
of every digit, and the class of every pixel. Scene number i of a split is always the same, whatever
else is asked for; training scenes use only the training digits of `Digits`, test scenes its test digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from datamodules.base import Split
from datamodules.digits import split_indices

CLASSES = tuple("0123456789")
BACKGROUND = 0  # in masks; class k is k + 1
INK = 0.35  # share of full brightness from which a pixel belongs to its digit
GROUND = 0.25  # brightest pixel of the ground
MOST_OVERLAP = 0.1  # of two boxes, as a share of the smaller
TRIES = 20  # places tried for a digit before it is left out
_SPLIT_SEEDS: dict[Split, int] = {"train": 1, "test": 2}


@dataclass(frozen=True)
class SceneOptions:
    """What scenes look like."""

    size: int = 64  # height and width in pixels
    most_digits: int = 4  # a scene has 0 to this many
    digit_sizes: tuple[int, int] = (12, 28)  # least and greatest height of a digit's square in pixels


@dataclass(frozen=True)
class Scene:
    """One composed image."""

    image: npt.NDArray[np.uint8]  # [H, W]
    mask: npt.NDArray[np.uint8]  # [H, W]: 0 for background, k + 1 for class k
    boxes: npt.NDArray[np.int64]  # [N, 4]: x1, y1, x2, y2; tight around visible ink, x2 and y2 exclusive
    labels: npt.NDArray[np.int64]  # [N]
    areas: npt.NDArray[np.int64]  # [N], pixels of ink


def compose(split: Split, index: int, options: SceneOptions) -> Scene:
    """Compose scene number `index` of a split.

    Args:
        split: whose digits are used.
        index: number of the scene, from 0; every seventh of them has no digit.
        options: size and digits.
    """
    # numpy's legacy generator, because its stream is frozen across versions (NEP 19).
    random = np.random.RandomState([_SPLIT_SEEDS[split], index])
    side = options.size
    coarse = random.rand(1, 1, 5, 5)
    ground = F.interpolate(torch.from_numpy(coarse), size=(side, side), mode="bilinear", align_corners=True)
    image = GROUND * ground[0, 0].numpy()
    mask = np.full((side, side), BACKGROUND, dtype=np.uint8)
    boxes: list[tuple[int, int, int, int]] = []
    labels, areas = [], []
    wanted = 0 if index % 7 == 6 else random.randint(1, options.most_digits + 1)
    digits, classes = _digits(split)
    for _ in range(wanted):
        chosen = random.randint(len(digits))
        height = random.randint(options.digit_sizes[0], options.digit_sizes[1] + 1)
        stamp = _enlarged(digits[chosen], height)
        ink = stamp >= INK
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        for _ in range(TRIES):
            top, left = random.randint(side - height + 1), random.randint(side - height + 1)
            box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
            if all(_overlap(box, other) <= MOST_OVERLAP for other in boxes):
                break
        else:
            continue
        window = np.s_[top : top + height, left : left + height]
        free = ink & (mask[window] == BACKGROUND)
        image[window] = np.maximum(image[window], stamp)
        mask[window][free] = classes[chosen] + 1
        boxes.append(box)
        labels.append(int(classes[chosen]))
        areas.append(int(free.sum()))
    return Scene(
        image=np.rint(255 * image.clip(0, 1)).astype(np.uint8),
        mask=mask,
        boxes=np.asarray(boxes, dtype=np.int64).reshape(-1, 4),
        labels=np.asarray(labels, dtype=np.int64),
        areas=np.asarray(areas, dtype=np.int64),
    )


def in_coco_form(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Return scenes in COCO's annotation format; image i is called "i.png", class k has category id k + 1."""
    annotations: list[dict[str, Any]] = []
    for image, scene in enumerate(scenes):
        for box, label, area in zip(scene.boxes, scene.labels, scene.areas, strict=True):
            x1, y1, x2, y2 = box.tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": int(area),
                    "iscrowd": 0,
                }
            )
    images = [
        {
            "id": image,
            "file_name": f"{image}.png",
            "width": scene.image.shape[1],
            "height": scene.image.shape[0],
        }
        for image, scene in enumerate(scenes)
    ]
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


@cache
def _digits(split: Split) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Digits [N, 8, 8] in [0, 1] and their classes [N]."""
    digits = load_digits()
    chosen = split_indices(digits.target)[split]
    return digits.images[chosen] / 16, digits.target[chosen]


def _enlarged(digit: npt.NDArray[np.float64], height: int) -> npt.NDArray[np.float64]:
    square = torch.from_numpy(digit)[None, None]
    enlarged = F.interpolate(square, size=(height, height), mode="bilinear", align_corners=False)
    result: npt.NDArray[np.float64] = enlarged[0, 0].numpy()
    return result


def _overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """Intersection of two boxes as a share of the smaller one."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return max(width, 0) * max(height, 0) / smaller
