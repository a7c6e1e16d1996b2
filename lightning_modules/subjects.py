"""What `SpikingEvaluation` evaluates: a module's network, its batches, its metric, and what the ANN answers.

Modules of this package are `TaskModule`s and give all of that themselves. Any other LightningModule only
needs a `forward` from images to logits; everything else has a default, and the user may name something else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from conversion.costs.activity import ActiveInputs
from conversion.inputs import images_in, takes
from conversion.inputs import images_of as as_taken
from lightning_modules.metrics import ClassificationMetric, NamedMetric, TaskMetric
from lightning_modules.task_module import test_images

TARGET_KEYS = ("label", "labels", "target", "targets", "y")
TASK_ATTRIBUTES = ("network", "new_metric", "ann_metric", "inputs_and_targets")
AnyMetric = Metric | MetricCollection
ImagesOf = Callable[[Any], Any]


@dataclass(frozen=True)
class Overrides:
    """What a user names about a module; None: what the module itself offers, or else the default."""

    metric: AnyMetric | Callable[[], AnyMetric] | None = None
    images_of: ImagesOf | None = None
    targets_of: Callable[[Any], Any] | None = None
    network_of: Callable[[Any], nn.Module] | None = None

    def __post_init__(self) -> None:
        if self.metric is not None and not callable(self.metric):
            given = type(self.metric).__name__
            raise TypeError(f"metric must be a metric or a collection of torchmetrics, got {given}")
        for name in ("images_of", "targets_of", "network_of"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be a function, got {type(value).__name__}")

    @property
    def empty(self) -> bool:
        """True where the user names nothing."""
        return all(given is None for given in vars(self).values())


class Subject(ABC):
    """A module under test.

    Attributes:
        network: maps images to outputs; it is converted.
        active: counts the inputs of its layers that are not zero.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.active = ActiveInputs(network)

    @abstractmethod
    def start(self) -> None:
        """A test begins; the network is converted."""

    @abstractmethod
    def batch_starts(self) -> None:
        """The module's own step begins."""

    @abstractmethod
    def split(self, batch: Any) -> tuple[Any, Any]:
        """Images and targets of a batch."""

    @abstractmethod
    def answer(self, outputs: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        """What the ANN made of images, and targets as metrics want them.

        Args:
            outputs: what the module's own step returned.
            images: of the same batch.
            targets: of the same batch.
        """

    @abstractmethod
    def new_metric(self, output: Any) -> TaskMetric:
        """Empty metric for outputs like this one, on their device."""

    @property
    @abstractmethod
    def ann_metric(self) -> TaskMetric:
        """Metric of the ANN, up to date after each `answer`."""

    def stop(self) -> None:
        """The test has ended, maybe by an error."""
        self.active.__exit__()


class TaskSubject(Subject):
    """A module with a `TaskModule`'s attributes: its own step runs the network and updates its metric."""

    def __init__(self, module: Any) -> None:
        super().__init__(module.network)
        self._module = module

    def start(self) -> None:
        """Count from now on: the conversion shall not be counted, nor its copy of the network."""
        self.active.__enter__()

    def batch_starts(self) -> None:
        """A pass of the network begins."""
        self.active.begin()

    def split(self, batch: Any) -> tuple[Any, Any]:
        """In the module's own way."""
        images, targets = self._module.inputs_and_targets(batch)
        return images, targets

    def answer(self, outputs: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        """What the step returned."""
        if not isinstance(outputs, Mapping) or "output" not in outputs:
            name = type(self._module).__name__
            raise ValueError(
                f'{name}.test_step must return {{"output": ...}}, what its network gave for the batch, got '
                f"{type(outputs).__name__}"
            )
        return outputs["output"], targets

    def new_metric(self, output: Any) -> TaskMetric:
        """The module's own."""
        metric: TaskMetric = self._module.new_metric()
        return metric

    @property
    def ann_metric(self) -> TaskMetric:
        """The module's own."""
        metric: TaskMetric = self._module.ann_metric
        return metric


class PlainSubject(Subject):
    """Any module: its network runs once more here, so that its own step may do whatever it likes."""

    def __init__(self, trainer: pl.Trainer, module: pl.LightningModule, overrides: Overrides) -> None:
        if overrides.network_of is not None:
            network = overrides.network_of(module)
            if not isinstance(network, nn.Module):
                given = type(network).__name__
                raise TypeError(f"network_of must give a torch.nn.Module, a part of the module, got {given}")
        else:
            network = module.network if _has_task_attributes(module) else module  # type: ignore[assignment]
        super().__init__(network)
        self._trainer = trainer
        self._module: Any = module
        self._overrides = overrides
        self._ann_metric: TaskMetric | None = None
        self._by_accuracy = overrides.metric is None and not hasattr(module, "new_metric")

    def start(self) -> None:
        """Nothing: only the runs of `answer` are counted."""

    def batch_starts(self) -> None:
        """Nothing, see `start`."""

    def split(self, batch: Any) -> tuple[Any, Any]:
        """As the user says, or the module, or as most batches are."""
        return self._images(batch), self._targets(batch)

    def answer(self, outputs: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        """Run the network, in the trainer's precision."""
        images = as_taken(images, "images", takes(self.network))
        with self.active, self._trainer.precision_plugin.forward_context():
            self.active.begin()
            output = self.network(images)
        if self._by_accuracy:
            targets = self._labels(output, targets)
        if self._ann_metric is None:
            self._ann_metric = self.new_metric(output)
        self._ann_metric.update(output, targets, None)
        return output, targets

    def new_metric(self, output: Any) -> TaskMetric:
        """The user's, or the module's, or top-1 accuracy."""
        if self._by_accuracy:
            images = test_images(self._trainer) if self._trainer.world_size > 1 else None
            return ClassificationMetric(output.shape[1], images).to(self._module.device)
        given = self._overrides.metric or self._module.new_metric
        metric: Any = given if isinstance(given, AnyMetric) else given()
        if not isinstance(metric, AnyMetric):
            raise TypeError(
                f"metric must be a metric or a collection of torchmetrics, got {type(metric).__name__}"
            )
        metric = metric.clone()
        metric.reset()
        if not isinstance(metric, TaskMetric):
            metric = NamedMetric(metric)
        task_metric: TaskMetric = metric.to(self._module.device)
        return task_metric

    @property
    def ann_metric(self) -> TaskMetric:
        """Of the network's run here."""
        if self._ann_metric is None:
            raise RuntimeError("the test set has no images")
        return self._ann_metric

    def _labels(self, output: Any, targets: Any) -> Tensor:
        """Labels [B], int64, for accuracy; refuses what it cannot be computed from."""
        name = type(self.network).__name__
        way_out = "say what to measure: SpikingEvaluation(..., metric=a metric of torchmetrics)"
        if not isinstance(output, Tensor) or output.ndim != 2:
            raise ValueError(f"{name} gives {_shape(output)}, not logits [B, classes]; {way_out}")
        whole = isinstance(targets, Tensor) and not targets.is_floating_point() and not targets.is_complex()
        if not whole or targets.shape != output.shape[:1]:
            raise ValueError(
                f"accuracy needs labels, integers of shape {list(output.shape[:1])}, "
                f"got {_shape(targets)}; {way_out}"
            )
        low, high = (int(targets.min()), int(targets.max())) if len(targets) else (0, 0)
        classes = output.shape[1]
        if low < 0 or high >= classes:
            raise ValueError(
                f"labels must be from 0 to {classes - 1}, since {name} gives {classes} logits, "
                f"got {low} to {high}"
            )
        labels: Tensor = targets.long()
        return labels

    def _images(self, batch: Any) -> Any:
        if self._overrides.images_of is not None:
            return self._overrides.images_of(batch)
        if hasattr(self._module, "inputs_and_targets"):
            return self._module.inputs_and_targets(batch)[0]
        try:
            return images_in(batch)
        except ValueError as error:
            raise ValueError(
                f"{error}, or say where they are: SpikingEvaluation(..., images_of=function of a batch)"
            ) from error

    def _targets(self, batch: Any) -> Any:
        if self._overrides.targets_of is not None:
            return self._overrides.targets_of(batch)
        if hasattr(self._module, "inputs_and_targets"):
            return self._module.inputs_and_targets(batch)[1]
        return targets_in(batch)


def subject_of(trainer: pl.Trainer, module: pl.LightningModule, overrides: Overrides) -> Subject:
    """A module under test, and what its user says about it."""
    if overrides.empty and _has_task_attributes(module):
        return TaskSubject(module)
    return PlainSubject(trainer, module, overrides)


def _has_task_attributes(module: Any) -> bool:
    return all(hasattr(module, name) for name in TASK_ATTRIBUTES)


def targets_in(batch: Any) -> Any:
    """What a batch of a data loader holds as targets: its second part, or its entry.

    Raises:
        ValueError: there is none, or more than one.
    """
    fields = batch._asdict() if isinstance(batch, tuple) and hasattr(batch, "_asdict") else {}
    if any(key in fields for key in TARGET_KEYS):
        batch = fields
    elif isinstance(batch, list | tuple) and len(batch) > 1:
        return batch[1]
    way_out = "say where they are: SpikingEvaluation(..., targets_of=function of a batch)"
    if not isinstance(batch, Mapping):
        raise ValueError(f"a batch of {type(batch).__name__} has images and no targets; {way_out}")
    known = [key for key in TARGET_KEYS if key in batch]
    if len(known) == 1:
        return batch[known[0]]
    which = "more than one of them" if known else "none of them"
    keys = ", ".join(repr(key) for key in batch)
    raise ValueError(f"the batch has the keys {keys}, and {which} may be the targets; {way_out}")


def _shape(value: Any) -> str:
    kind = type(value).__name__
    return f"{value.dtype} of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {kind}"
