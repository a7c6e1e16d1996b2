"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from datamodules.base import DataModule, LoaderConfig
from datamodules.cifar import Cifar10, Cifar100
from datamodules.detection.coco import Coco
from datamodules.detection.digit_scenes import DigitScenes
from datamodules.detection.voc import Voc
from datamodules.digits import Digits
from datamodules.errors import DataError
from datamodules.image_folder import ImageFolder
from datamodules.imagenet import ImageNet
from datamodules.options import parse_options
from datamodules.segmentation.cityscapes import Cityscapes
from datamodules.segmentation.digit_scenes import DigitSceneMasks
from datamodules.segmentation.voc import VocSegmentation
from spikemark_plugins import DATASETS, load
from spikemark_plugins.names import did_you_mean

ModuleT = TypeVar("ModuleT", bound=DataModule)

# A new data set of ours is one more line: a class whose constructor takes (options, loader).
_CLASSES: dict[str, type[DataModule]] = {
    module.name: module
    for module in (
        *(Digits, Cifar10, Cifar100, ImageNet, ImageFolder),
        *(DigitScenes, Voc, Coco),
        *(DigitSceneMasks, VocSegmentation, Cityscapes),
    )
}


def register(module: type[ModuleT]) -> type[ModuleT]:
    """Make a data set known under its class's name; usable as a decorator.

    Raises:
        ValueError: the name is taken.
    """
    if module.name in _CLASSES:
        raise ValueError(f"data set '{module.name}' is registered twice")
    _CLASSES[module.name] = module
    return module


def names(task: str | None = None) -> list[str]:
    """Return the names of all data sets, or of those of one task: built-in first, plug-ins' last."""
    load(DATASETS)
    return [name for name, module in _CLASSES.items() if task in (None, module.task)]


def task_of(name: str) -> str:
    """Return the task of a data set.

    Raises:
        DataError: there is no data set of that name; the nearest one is named.
    """
    return _find(name).task


def describe(name: str) -> str:
    """Return one line on a data set.

    Raises:
        DataError: there is no data set of that name; the nearest one is named.
    """
    return _find(name).summary


@dataclass(frozen=True)
class ChosenDataset:
    """A data set of the registry with its options, both checked.

    Attributes:
        module: the registered class.
        options: an object of its `options_type`.
    """

    module: type[DataModule]
    options: Any

    @property
    def task(self) -> str:
        """Name of the task that the data set is for."""
        return self.module.task

    def build(self, loader: LoaderConfig) -> DataModule:
        """Make the data module; no file is touched yet."""
        construct: Callable[[Any, LoaderConfig], DataModule] = self.module
        return construct(self.options, loader)


def choose(name: str, options: Mapping[str, Any]) -> ChosenDataset:
    """Find a data set and check its options.

    Args:
        name: one of `names`.
        options: the data set's own options by name; lists stand for tuples.

    Raises:
        DataError: unknown name or option (the nearest valid one is named), or a bad value.
    """
    module = _find(name)
    return ChosenDataset(module, parse_options(module.options_type, options, name))


def build(name: str, options: Mapping[str, Any], loader: LoaderConfig) -> DataModule:
    """Make a data module by its name: `choose`, then `ChosenDataset.build`.

    Raises:
        DataError: unknown name or option (the nearest valid one is named), or a bad value.
    """
    return choose(name, options).build(loader)


def _find(name: str) -> type[DataModule]:
    if name not in _CLASSES:
        load(DATASETS)
    if name not in _CLASSES:
        raise DataError(f"there is no data set {name!r}{did_you_mean(name, sorted(_CLASSES))}")
    return _CLASSES[name]
