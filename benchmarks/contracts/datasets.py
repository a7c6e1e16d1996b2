"""What every data set promises. Those whose files are not there cannot be judged: pass the data root."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks import tasks
from datamodules import DataModule, LoaderConfig
from datamodules import registry as datasets

Options = Mapping[str, Any]
IMAGES, BATCH = 5, 4


def says_what_it_is(name: str, options: Options | None = None, root: Path | None = None) -> None:
    """It has a summary of one line and a known task, and is constructed without touching a file."""
    summary = datasets.describe(name)
    assert summary.strip(), "the summary is empty"
    assert "\n" not in summary, "the summary has more than one line"
    data = _build(name, options, Path("no-such-folder"))
    assert data.name == name
    assert data.task in tasks.names(), f"there is no task {data.task!r}"
    assert len(data.image_shape) == 3, f"image_shape must be (C, H, W), got {data.image_shape}"


def gives_normalised_batches(name: str, options: Options | None = None, root: Path | None = None) -> None:
    """Its batches hold float32 images of the promised shape, around zero and neither tiny nor huge."""
    data = _build(name, options, root)
    data.setup()
    assert len(data.classes) >= 2, f"{len(data.classes)} class(es)"
    for images in (_first(data.train_dataloader()), _first(data.test_dataloader())):
        assert images.shape == (len(images), *data.image_shape), f"images are {tuple(images.shape)}"
        assert images.dtype == torch.float32, f"images are {images.dtype}"
        assert torch.isfinite(images).all(), "images are not finite"
        assert images.mean().abs() < 3, f"images have mean {images.mean():.2f}: are they normalised?"
        assert 0.1 < images.std() < 5, f"images have deviation {images.std():.2f}: are they normalised?"


def keeps_the_order_of_its_tests(name: str, options: Options | None = None, root: Path | None = None) -> None:
    """Test images come in the same order each time, and fewer of them are the first of more."""
    few = [_all(_build(name, options, root, test_images=2, seed=seed).test_dataloader()) for seed in (0, 1)]
    more = _all(_build(name, options, root, test_images=IMAGES).test_dataloader())
    assert torch.equal(few[0], few[1]), "the seed changes the test images"
    assert torch.equal(few[0], more[:2]), "a smaller test set is not the first part of a larger one"


def calibrates_on_training_images(
    name: str, options: Options | None = None, root: Path | None = None
) -> None:
    """Calibration images are drawn by the seed, without augmentation, and are no test images."""
    data = _build(name, options, root)
    drawn, again = (torch.cat(data.calibration_batches()) for _ in range(2))
    assert torch.equal(drawn, again), "calibration images are augmented, or drawn anew each time"
    assert len(drawn) == IMAGES
    other = torch.cat(_build(name, options, root, seed=1).calibration_batches())
    assert not torch.equal(drawn, other), "the seed does not choose the calibration images"


def keeps_its_splits_apart(name: str, options: Options | None = None, root: Path | None = None) -> None:
    """No sample is in the training and in the test split."""
    _build(name, options, root).check_disjoint()


def names_its_data(name: str, options: Options | None = None, root: Path | None = None) -> None:
    """Its fingerprint names both splits and the calibration images, the same each time."""
    prints = _build(name, options, root).fingerprint()
    assert set(prints) == {"train", "test", "calibration"}, f"it names {sorted(prints)}"
    assert prints == _build(name, options, root).fingerprint(), "two fingerprints of the same data differ"
    assert prints["calibration"] != _build(name, options, root, seed=1).fingerprint()["calibration"]


DATASET_LAWS = (
    says_what_it_is,
    gives_normalised_batches,
    keeps_the_order_of_its_tests,
    calibrates_on_training_images,
    keeps_its_splits_apart,
    names_its_data,
)


def _build(name: str, options: Options | None, root: Path | None, **loader: Any) -> DataModule:
    settings = {"batch_size": BATCH, "calibration_images": IMAGES, "root": root, **loader}
    return datasets.build(name, options or {}, LoaderConfig(**settings))


def _first(loader: DataLoader[Any]) -> Tensor:
    images: Tensor = next(iter(loader))[0]
    return images


def _all(loader: Iterable[Any]) -> Tensor:
    return torch.cat([batch[0] for batch in loader])
