"""Training and testing of detectors.

AdamW, linear warm-up, cosine decay, an exponential moving average of the weights that is what
remains after training. The network ends at raw maps; decoding and non-maximum suppression happen in
the metric, for the ANN as for its spiking twins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from lightning_modules.classification import lr_factor, weight_decay_groups
from lightning_modules.detection.metric import DetectionMetric
from lightning_modules.detection.postprocess import PostProcessing
from lightning_modules.metrics import TaskMetric
from lightning_modules.networks.detection.base import Detector, LossOptions, RawMaps
from lightning_modules.task_module import TaskModule


@dataclass(frozen=True)
class DetectionOptimiserConfig:
    """AdamW with linear warm-up, then cosine decay to zero; and what is minimised."""

    lr: float = 2e-3  # peak, reached after the warm-up
    weight_decay: float = 0.05  # not on biases and normalisation parameters
    warmup_epochs: float = 3.0  # may be a fraction
    ema_decay: float = 0.998  # of the moving average of the weights per step; 0: no average
    gradient_clip: float = 10.0  # largest norm of all gradients together
    assignment: str = "task-aligned"  # or "centre"
    class_loss: str = "bce"  # of objectness; or "focal"
    box_loss: str = "ciou"  # or "giou"
    box_weight: float = 2.5

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lr", 0, math.inf),
            ("weight_decay", 0, math.inf),
            ("warmup_epochs", 0, math.inf),
            ("ema_decay", 0, 1),
            ("gradient_clip", 0, math.inf),
            ("box_weight", 0, math.inf),
        ):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value < high:
                raise ValueError(f"{name} must be a number in [{low}, {high}), got {value!r}")
        for name, known in (
            ("assignment", ("task-aligned", "centre")),
            ("class_loss", ("bce", "focal")),
            ("box_loss", ("ciou", "giou")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.lr == 0 or self.gradient_clip == 0:
            raise ValueError("lr and gradient_clip must be above 0")

    @property
    def loss(self) -> LossOptions:
        """The loss's part."""
        return LossOptions(self.assignment, self.class_loss, self.box_loss, self.box_weight)  # type: ignore[arg-type]


class DetectionModule(TaskModule):
    """Trains a detector on batches (images [B, C, H, W], targets) and tests it.

    Logs "train/loss" and its parts per epoch, and "ann/<metric>" after a test. Checkpoints hold plain
    hyperparameters: ``DetectionModule.load_from_checkpoint(path, network=...)``.

    Args:
        network: maps images to raw maps, and decodes them. Stored channels-last.
        classes: names, for the metric of each class.
        scoring: whose rules count, "coco" or "voc".
        optimiser: how to train; a mapping of its fields where it comes from a checkpoint.
        postprocessing: from candidates to detections.
    """

    task = "detection"

    def __init__(
        self,
        network: Detector,
        classes: Sequence[str],
        scoring: str = "coco",
        optimiser: DetectionOptimiserConfig | Mapping[str, Any] | None = None,
        postprocessing: PostProcessing | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network: Detector = network.to(memory_format=torch.channels_last)
        self.average: AveragedModel | None = None
        self.classes = tuple(classes)
        self.scoring = scoring
        if not isinstance(optimiser, DetectionOptimiserConfig):
            optimiser = DetectionOptimiserConfig(**(optimiser or {}))
        if not isinstance(postprocessing, PostProcessing):
            postprocessing = PostProcessing(**(postprocessing or {}))
        self.optimiser, self.postprocessing = optimiser, postprocessing
        self.ann_metric: TaskMetric = self.new_metric()
        self.save_hyperparameters(
            {
                "classes": list(classes),
                "scoring": scoring,
                "optimiser": asdict(optimiser),
                "postprocessing": asdict(postprocessing),
            }
        )

    def forward(self, images: Tensor) -> RawMaps:
        """Map images [B, C, H, W] to raw maps."""
        raw: RawMaps = self.network(images)
        return raw

    def new_metric(self) -> TaskMetric:
        """Return an empty metric on the module's device that knows the size of the running test."""
        metric = DetectionMetric(
            self.network.decode,
            self.classes,
            scoring=self.scoring,
            postprocessing=self.postprocessing,
            images=self._test_images(),
        )
        return metric.to(self.device)

    def setup(self, stage: str) -> None:
        """Begin the moving average; it stands in checkpoints, so that training goes on from it."""
        if stage == "fit" and self.optimiser.ema_decay and self.average is None:
            self.average = AveragedModel(self.network, multi_avg_fn=self._move_average, use_buffers=True)
            self.average.requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        images, targets = self.inputs_and_targets(batch)
        parts = self.network.losses(self(images), targets, _size(images), self.optimiser.loss)
        loss = torch.stack(list(parts.values())).sum()
        self.log_dict(
            {"train/loss": loss, **{f"train/{name}": part for name, part in parts.items()}},
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=len(images),
        )
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of all gradients, as the optimiser's configuration says."""
        limit = gradient_clip_val or self.optimiser.gradient_clip
        self.clip_gradients(optimizer, limit, gradient_clip_algorithm or "norm")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the average."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def on_train_end(self) -> None:
        """Keep the average in place of the last weights."""
        if self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
            self.average = None

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Run the network on one batch.

        Returns:
            "output" (raw maps) and "target", for callbacks that compare.
        """
        images, targets = self.inputs_and_targets(batch)
        raw = self(images)
        self.ann_metric.update(raw, targets)
        return {"output": raw, "target": targets}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Set up AdamW with the schedule stepped after every optimiser step."""
        optimiser = torch.optim.AdamW(
            weight_decay_groups(self.network, self.optimiser.weight_decay), lr=self.optimiser.lr
        )
        total = int(self.trainer.estimated_stepping_batches)
        epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        warmup = round(self.optimiser.warmup_epochs * epoch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: lr_factor(step, total, warmup))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _move_average(self, averages: Any, values: Any, updates: Tensor | int) -> None:
        """Exponential average whose memory grows with the number of updates, so that it starts quickly."""
        done = float(updates)
        decay = min(self.optimiser.ema_decay, (1 + done) / (10 + done))
        for mean, value in zip(averages, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - decay)
            else:
                mean.copy_(value)


def _size(images: Tensor) -> tuple[int, int]:
    return int(images.shape[-2]), int(images.shape[-1])
