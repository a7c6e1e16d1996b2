"""Tiny segmentation data sets in their official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import LoaderConfig, registry


def write_image(path: Path, size: tuple[int, int], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_ids(path: Path, ids: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8))
    if palette:
        image = image.convert("P")
        image.putpalette([value for index in range(256) for value in (index, 255 - index, index // 2)])
        image.putdata(ids.astype(np.uint8).flatten().tolist())
    image.save(path)


class CityscapesFolder:
    """Writes a data set in Cityscapes' layout below ROOT/streets; ids run through the rows."""

    def __init__(self, root: Path) -> None:
        self.root, self.base = root, root / "streets"
        for split, count in (("train", 3), ("val", 2)):
            for number in range(count):
                self.add(split, f"town_00000{number}_000019", seed=10 * number + (split == "val"))

    def add(self, split: str, stem: str, seed: int) -> None:
        write_image(self.base / "leftImg8bit" / split / "town" / f"{stem}_leftImg8bit.png", (40, 34), seed)
        write_ids(self.label(split, stem), np.repeat(np.arange(34)[:, None], 40, 1))

    def label(self, split: str = "val", stem: str = "town_000000_000019") -> Path:
        return self.base / "gtFine" / split / "town" / f"{stem}_gtFine_labelIds.png"

    def build(self, options=None, **loader):
        chosen = {"path": "streets", "image_size": [32, 48], "test_size": [34, 40], **(options or {})}
        return registry.build("cityscapes", chosen, LoaderConfig(root=self.root, batch_size=2, **loader))


class VocFolder:
    """Writes a data set in VOC's layout below ROOT."""

    def __init__(self, root: Path) -> None:
        self.root, self.base = root, root / "VOCdevkit" / "VOC2012"
        for split, stems in (("train", "ab"), ("val", "c")):
            for stem in stems:
                write_image(self.base / "JPEGImages" / f"{stem}.jpg", (50, 30), ord(stem))
                write_ids(self.base / "SegmentationClass" / f"{stem}.png", self.ids(), palette=True)
            self.names(split, stems)

    def ids(self) -> np.ndarray:
        ids = np.repeat(np.arange(30)[:, None] % 21, 50, 1)
        ids[:, :4] = 255
        return ids

    def names(self, split: str, lines) -> None:
        file = self.base / "ImageSets" / "Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines))

    def build(self, options=None, **loader):
        chosen = {"image_size": [64, 64], **(options or {})}
        config = LoaderConfig(root=self.root, **{"batch_size": 2, **loader})
        return registry.build("voc_segmentation", chosen, config)


@pytest.fixture
def streets(tmp_path):
    return CityscapesFolder(tmp_path)


@pytest.fixture
def voc(tmp_path):
    return VocFolder(tmp_path)
