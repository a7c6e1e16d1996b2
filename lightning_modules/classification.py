"""Training and testing of classification networks.

A thin shell around a plain network: loss, optimiser, schedule, and a metric of the original
network that a spiking twin is later compared with. Devices, precision and distribution are the
trainer's business; nothing here depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.metrics import ClassificationMetric, TaskMetric
from lightning_modules.task_module import TaskModule

ALGORITHMS = ("sgd", "adamw")


@dataclass(frozen=True)
class OptimiserConfig:
    """Stochastic gradient descent with momentum, or AdamW; linear warm-up, then cosine decay to zero."""

    lr: float = 0.1  # peak, reached after the warm-up
    momentum: float = 0.9  # of sgd
    nesterov: bool = True  # of sgd
    weight_decay: float = 5e-4  # not on biases and normalisation parameters
    label_smoothing: float = 0.1  # in [0, 1)
    warmup_epochs: float = 0.0  # may be a fraction
    algorithm: str = "sgd"  # or "adamw"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lr", 0, math.inf),
            ("momentum", 0, 1),
            ("weight_decay", 0, math.inf),
            ("label_smoothing", 0, 1),
            ("warmup_epochs", 0, math.inf),
        ):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value < high:
                raise ValueError(f"{name} must be a number in [{low}, {high}), got {value!r}")
        if self.lr == 0:
            raise ValueError("lr must be above 0")
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {self.algorithm!r}")
        if self.algorithm == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")


class ClassificationModule(TaskModule):
    """Trains a network on batches (images [B, C, H, W], labels [B]) and tests it.

    Logs "train/loss" and "train/top1" per epoch, and "ann/top1" (and "ann/top5" with more than five
    classes) after a test. Checkpoints hold plain hyperparameters, so they load with torch's safe
    unpickler: ``ClassificationModule.load_from_checkpoint(path, network=...)``.

    Args:
        network: maps images to logits [B, num_classes]. Its weights are stored channels-last,
            which changes no value and makes convolutions on CPUs and tensor cores faster.
        num_classes: K.
        optimiser: how to train; a mapping of its fields where it comes from a checkpoint.
    """

    task = "classification"

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        optimiser: OptimiserConfig | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.num_classes = num_classes
        if not isinstance(optimiser, OptimiserConfig):
            optimiser = OptimiserConfig(**(optimiser or {}))
        self.optimiser = optimiser
        self.ann_metric: TaskMetric = self.new_metric()
        self.save_hyperparameters({"num_classes": num_classes, "optimiser": asdict(optimiser)})

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K]."""
        logits: Tensor = self.network(images)
        return logits

    def new_metric(self) -> TaskMetric:
        """Return an empty metric on the module's device that knows the size of the running test."""
        metric = ClassificationMetric(self.num_classes, images=self._test_images())
        return metric.to(self.device)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the cross entropy of one batch, averaged over images."""
        images, targets = self.inputs_and_targets(batch)
        logits = self(images)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.optimiser.label_smoothing)
        top1 = (logits.detach().argmax(1) == targets).float().mean()
        self.log_dict(
            {"train/loss": loss, "train/top1": top1},
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=len(targets),
        )
        return loss

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """Run the network on one batch.

        Returns:
            "output" (logits [B, K]) and "target" ([B]), for callbacks that compare.
        """
        images, targets = self.inputs_and_targets(batch)
        logits = self(images)
        self.ann_metric.update(logits, targets)
        return {"output": logits, "target": targets}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Set up the optimiser with the schedule stepped after every step."""
        config = self.optimiser
        groups = weight_decay_groups(self.network, config.weight_decay)
        optimiser = build_optimiser(config.algorithm, groups, config.lr, config.momentum, config.nesterov)
        total = int(self.trainer.estimated_stepping_batches)
        epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        warmup = round(self.optimiser.warmup_epochs * epoch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: lr_factor(step, total, warmup))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_factor(step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the learning rate at one step, as a fraction of its peak.

    Args:
        step: optimiser steps taken before, from 0.
        total_steps: steps of the whole training.
        warmup_steps: steps of the linear rise 1/w, 2/w, ..., 1, at most ``total_steps`` of them.

    Returns:
        A fraction in [0, 1]: after the rise a half cosine from 1 to 0 at ``total_steps``
        (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts).
    """
    warmup_steps = min(warmup_steps, total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if step >= total_steps:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps)))


def build_optimiser(
    algorithm: str, groups: list[dict[str, Any]], lr: float, momentum: float, nesterov: bool = False
) -> torch.optim.Optimizer:
    """AdamW, or stochastic gradient descent, of groups of parameters; see `weight_decay_groups`.

    Args:
        algorithm: one of `ALGORITHMS`.
        groups: parameters with their weight decay.
        lr: peak of the schedule.
        momentum: of sgd.
        nesterov: of sgd.
    """
    if algorithm == "adamw":
        return torch.optim.AdamW(groups, lr=lr)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)


def weight_decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sort trainable parameters into two groups for an optimiser.

    Args:
        network: any network.
        weight_decay: for matrices and kernels.

    Returns:
        Parameters of two and more dimensions with the decay, and vectors and scalars (biases,
        normalisation, learned thresholds) without.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
