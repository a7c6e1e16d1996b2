"""Tiny detection data sets in their official layouts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Object = tuple[str, tuple[float, float, float, float]]  # name, box as the layout writes it


def write_image(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


class VocFolder:
    """Writes a data set in VOC's layout below ROOT/small."""

    def __init__(self, root: Path, year: str = "2012") -> None:
        self.base = root / "small" / "VOCdevkit" / f"VOC{year}"
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (self.base / part).mkdir(parents=True)

    def add(
        self,
        image_set: str,
        stem: str,
        objects: Sequence[Object],
        size: tuple[int, int] = (64, 48),
        difficult: Sequence[bool] = (),
    ) -> Path:
        write_image(self.base / "JPEGImages" / f"{stem}.jpg", size, seed=sum(stem.encode()))
        flags = [*difficult, *[False] * (len(objects) - len(difficult))]
        text = "".join(
            f"<object><name>{name}</name><difficult>{int(flag)}</difficult><bndbox>"
            f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax>"
            "</bndbox></object>"
            for (name, box), flag in zip(objects, flags, strict=True)
        )
        head = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        file = self.base / "Annotations" / f"{stem}.xml"
        file.write_text(f"<annotation><filename>{stem}.jpg</filename>{head}{text}</annotation>")
        with open(self.base / "ImageSets" / "Main" / f"{image_set}.txt", "a") as names:
            names.write(f"{stem}\n")
        return file


@pytest.fixture
def voc_folder(tmp_path):
    return lambda year: VocFolder(tmp_path, year)


@pytest.fixture
def voc(voc_folder):
    """Three training and two test images, one of each without objects."""
    folder = voc_folder("2012")
    folder.add("train", "a1", [("dog", (1, 1, 20, 30)), ("cat", (10, 5, 64, 48))])
    folder.add("train", "a2", [("cat", (3, 4, 30, 40))], size=(48, 64))
    folder.add("train", "a3", [])
    folder.add("val", "b1", [("dog", (5, 6, 40, 44)), ("cat", (20, 20, 50, 40))], difficult=[True])
    folder.add("val", "b2", [])
    return folder


class CocoFolder:
    """Writes a data set in COCO's layout below ROOT/mini."""

    def __init__(self, root: Path) -> None:
        self.base = root / "mini"
        (self.base / "annotations").mkdir(parents=True)

    def content(self, part: str) -> dict:
        images = [{"id": 10 * i, "file_name": f"{part}{i}.png", "width": 40, "height": 30} for i in (3, 1, 2)]
        for image in images:
            write_image(self.base / part / image["file_name"], (40, 30), image["id"] + len(part))
        boxes = [(10, 2, [1, 2, 10.5, 20]), (10, 17, [0, 0, 40, 30]), (30, 90, [5, 5, 8, 8])]
        annotations = [
            {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": 7.0, "iscrowd": 0}
            for i, (image, category, box) in enumerate(boxes)
        ]
        annotations[1]["iscrowd"] = 1
        names = [{"id": i, "name": f"thing {i}"} for i in (90, 2, 17)]
        return {"images": images, "annotations": annotations, "categories": names}

    def write(self, part: str, content: object) -> Path:
        file = self.base / "annotations" / f"instances_{part}.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file


@pytest.fixture
def coco(tmp_path):
    folder = CocoFolder(tmp_path)
    for part in ("train2017", "val2017"):
        folder.write(part, folder.content(part))
    return folder
