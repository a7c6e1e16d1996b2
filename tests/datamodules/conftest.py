"""Tiny stand-ins for every registered data set, in its official layout."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from datamodules.base import ClassificationData, LoaderConfig
from datamodules.registry import build


@dataclass(frozen=True)
class Sandbox:
    """A data root with one generated data set."""

    name: str
    root: Path
    options: dict[str, Any]
    classes: int
    train_images: int
    test_images: int
    change: Callable[[], None] | None  # alters one test image on disk; None: built-in data

    def build(self, **loader: Any) -> ClassificationData:
        settings = {"root": self.root, "batch_size": 4, "calibration_images": 6} | loader
        return build(self.name, self.options, LoaderConfig(**settings))


def write_image(path: Path, generator: np.random.Generator, size: tuple[int, int]) -> None:
    """Write a noise image of (width, height) pixels; the format follows the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_digits(root: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    return Sandbox("digits", root, {"size": 12}, 10, 1297, 500, None)


def make_cifar(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    archive, key, classes = {
        "cifar10": (datasets.CIFAR10, "labels", 10),
        "cifar100": (datasets.CIFAR100, "fine_labels", 100),
    }[name]
    generator = np.random.default_rng(0)
    folder = root / archive.base_folder
    folder.mkdir()

    def write(file: str, content: dict[str, Any]) -> list[str]:
        data = pickle.dumps(content)
        (folder / file).write_bytes(data)
        return [file, hashlib.md5(data).hexdigest()]

    def rows(count: int) -> dict[str, Any]:
        pixels = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
        return {"data": pixels, key: generator.integers(0, classes, count).tolist()}

    def write_test() -> None:
        entries = [write(file, rows(10)) for file, _ in official_test]
        monkeypatch.setattr(archive, "test_list", entries)

    official_test = archive.test_list
    per_file = 20 // len(archive.train_list)
    monkeypatch.setattr(
        archive, "train_list", [write(file, rows(per_file)) for file, _ in archive.train_list]
    )
    write_test()
    names = {archive.meta["key"]: [f"class {index}" for index in range(classes)]}
    checksum = write(archive.meta["filename"], names)[1]
    monkeypatch.setattr(archive, "meta", archive.meta | {"md5": checksum})
    return Sandbox(name, root, {}, classes, 20, 10, write_test)


def make_imagenet(root: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    generator = np.random.default_rng(0)
    folder = root / "imagenet"
    wnids = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",), "n01484850": ("white shark",)}
    for split, count in (("train", 5), ("val", 3)):
        for wnid in wnids:
            for index in range(count):
                write_image(folder / split / wnid / f"{wnid}_{index}.JPEG", generator, (40, 30))
    torch.save((wnids, [wnid for wnid in wnids for _ in range(3)]), folder / "meta.bin")
    change = folder / "val" / "n01443537" / "n01443537_1.JPEG"
    options = {"image_size": 16, "resize_size": 20}
    return Sandbox("imagenet", root, options, 3, 15, 9, lambda: write_image(change, generator, (44, 30)))


def make_image_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    generator = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 3)):
        for name in ("ant", "bee", "cat"):
            for index in range(count):
                write_image(root / "insects" / split / name / f"{index}.png", generator, (20, 16))
    change = root / "insects" / "test" / "bee" / "1.png"
    options = {"path": "insects", "image_size": 16, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    return Sandbox("image_folder", root, options, 3, 15, 9, lambda: write_image(change, generator, (24, 16)))


MAKERS: dict[str, Callable[[Path, pytest.MonkeyPatch], Sandbox]] = {
    "digits": make_digits,
    "cifar10": lambda root, patch: make_cifar("cifar10", root, patch),
    "cifar100": lambda root, patch: make_cifar("cifar100", root, patch),
    "imagenet": make_imagenet,
    "image_folder": make_image_folder,
}


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The stand-in whose name is the (indirect) parameter; every registered name must have one."""
    monkeypatch.delenv("SPIKEMARK_DATA", raising=False)
    return MAKERS[request.param](tmp_path, monkeypatch)
