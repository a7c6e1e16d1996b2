"""Training and testing of segmentation networks.

Cross entropy over the pixels that count, an auxiliary head where the network has one, and a learning rate
that falls polynomially.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.classification import ALGORITHMS, build_optimiser, weight_decay_groups
from lightning_modules.metrics import TaskMetric
from lightning_modules.networks.segmentation.base import Segmenter
from lightning_modules.segmentation.class_weights import ClassWeighting, class_weights
from lightning_modules.segmentation.metric import IGNORE, SegmentationMetric
from lightning_modules.task_module import TaskModule


@dataclass(frozen=True)
class SegmentationOptimiserConfig:
    """Linear warm-up, then lr (1 - step / steps) ^ power; and what is minimised.

    Source of the schedule: Chen et al. 2017, arXiv 1606.00915, section 4.1.2.
    """

    algorithm: str = "sgd"  # or "adamw"
    lr: float = 0.01  # peak, reached after the warm-up
    momentum: float = 0.9  # of sgd
    weight_decay: float = 1e-4  # not on biases and normalisation parameters
    warmup_epochs: float = 0.0  # may be a fraction
    power: float = 0.9  # of the schedule
    auxiliary_weight: float = 0.4  # of the auxiliary head's loss
    class_weighting: ClassWeighting = "none"  # see `class_weights`

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lr", 0, math.inf),
            ("momentum", 0, 1),
            ("weight_decay", 0, math.inf),
            ("warmup_epochs", 0, math.inf),
            ("power", 0, math.inf),
            ("auxiliary_weight", 0, math.inf),
        ):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value < high:
                raise ValueError(f"{name} must be a number in [{low}, {high}), got {value!r}")
        if self.lr == 0:
            raise ValueError("lr must be above 0")
        for name, known in (("algorithm", ALGORITHMS), ("class_weighting", get_args(ClassWeighting))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


class SegmentationModule(TaskModule):
    """Trains a segmentation network on batches (images [B, C, H, W], targets) and tests it.

    Logs "train/loss" and "train/pixel_accuracy" per epoch, and "ann/<metric>" after a test. Checkpoints
    hold plain hyperparameters: ``SegmentationModule.load_from_checkpoint(path, network=...)``.

    Args:
        network: maps images to logits. Stored channels-last.
        classes: names, for the metric of each class.
        optimiser: how to train; a mapping of its fields where it comes from a checkpoint.
    """

    task = "segmentation"

    def __init__(
        self,
        network: Segmenter,
        classes: Sequence[str],
        optimiser: SegmentationOptimiserConfig | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network: Segmenter = network.to(memory_format=torch.channels_last)
        self.classes = tuple(classes)
        if not isinstance(optimiser, SegmentationOptimiserConfig):
            optimiser = SegmentationOptimiserConfig(**(optimiser or {}))
        self.optimiser = optimiser
        self.ann_metric: TaskMetric = self.new_metric()
        self._class_weights: Tensor | None = None
        self.save_hyperparameters({"classes": list(classes), "optimiser": asdict(optimiser)})

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K, h, w]."""
        logits: Tensor = self.network(images)
        return logits

    def new_metric(self) -> TaskMetric:
        """Return an empty metric on the module's device that knows the size of the running test."""
        return SegmentationMetric(self.classes, images=self._test_images()).to(self.device)

    def on_fit_start(self) -> None:
        """Weigh classes by how often they occur in the training split, where the configuration says so."""
        if self.optimiser.class_weighting == "none":
            return
        data = getattr(self.trainer, "datamodule", None)
        if data is None or not hasattr(data, "class_pixels"):
            raise ValueError(
                "class_weighting counts pixels of a data module; fit with one, or set it to none"
            )
        self._class_weights = class_weights(data.class_pixels(), self.optimiser.class_weighting).to(
            self.device
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        images, targets = self.inputs_and_targets(batch)
        labels = torch.stack([one["labels"] for one in targets]).to(images.device).long()
        logits, auxiliary = self.network.training_logits(images)
        whole = _enlarged(logits, labels)
        loss = self._loss(whole, labels)
        if auxiliary is not None:
            loss = loss + self.optimiser.auxiliary_weight * self._loss(_enlarged(auxiliary, labels), labels)
        scored = labels != IGNORE
        right = ((whole.detach().argmax(1) == labels) & scored).sum() / scored.sum().clamp_min(1)
        self.log_dict(
            {"train/loss": loss, "train/pixel_accuracy": right},
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=len(images),
        )
        return loss

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Run the network on one batch.

        Returns:
            "output" (logits [B, K, h, w]) and "target", for callbacks that compare.
        """
        images, targets = self.inputs_and_targets(batch)
        logits = self(images)
        self.ann_metric.update(logits, targets)
        return {"output": logits, "target": targets}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Set up the optimiser with the schedule stepped after every step."""
        config = self.optimiser
        groups = weight_decay_groups(self.network, config.weight_decay)
        optimiser = build_optimiser(config.algorithm, groups, config.lr, config.momentum)
        total = int(self.trainer.estimated_stepping_batches)
        epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        warmup = round(config.warmup_epochs * epoch)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: poly_factor(step, total, warmup, config.power)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, a (weighted) mean over the pixels that count; 0 where there are none."""
        if not (labels != IGNORE).any():
            return logits.sum() * 0.0
        return F.cross_entropy(logits, labels, weight=self._class_weights, ignore_index=IGNORE)


def poly_factor(step: int, total_steps: int, warmup_steps: int, power: float) -> float:
    """Return the learning rate at one step, as a fraction of its peak.

    Args:
        step: optimiser steps taken before, from 0.
        total_steps: steps of the whole training.
        warmup_steps: steps of the linear rise 1/w, 2/w, ..., 1, at most ``total_steps`` of them.
        power: of the fall after it.

    Returns:
        A fraction in [0, 1]: after the rise (1 - share of the rest that is done) ^ power.
    """
    warmup_steps = min(warmup_steps, total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if step >= total_steps:
        return 0.0
    return float((1 - (step - warmup_steps) / (total_steps - warmup_steps)) ** power)


def _enlarged(logits: Tensor, labels: Tensor) -> Tensor:
    return F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
