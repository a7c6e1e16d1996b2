"""Metrics of a test run, one class per task, that keep every image's outcome in test order.

Confidence intervals and paired comparisons need per-image outcomes, not only means, so these
metrics store one value per image. Under distributed testing the values arrive rank by rank and
with repeats; `restore_test_order` puts them right, so one GPU and eight give the same numbers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

TOP_K = 5


class TaskMetric(Metric):
    """What the evaluation of a network and of its spiking twin needs from a task's metric.

    Attributes:
        primary: key of `compute` that networks are ranked by; higher is better.
    """

    primary: str
    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    @abstractmethod
    def update(self, output: Any, target: Any, reference: Any | None = None) -> None:
        """Add one batch.

        Args:
            output: what the network under test returned.
            target: ground truth.
            reference: what the network it was converted from returned for the same images.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return Python floats by name; scores are fractions in [0, 1]."""

    @abstractmethod
    def outcomes(self) -> Any:
        """Return what became of each image, in test order, in a form that gives the primary score."""


class ClassificationMetric(TaskMetric):
    """Top-1 and top-5 accuracy and, beside a reference, how near the outputs are to it.

    `compute` returns "top1"; "top5" where there are more than five classes; and with a reference
    "kl", the mean over images of KL(softmax(reference) || softmax(output)) in nats (0 is best), and
    "agreement", the fraction of images with the same most likely class.

    Equal logits count in favour of the lower class index, as in argmax, also for top-5: spiking
    outputs tie often at few time steps. An output with a NaN counts as wrong.

    Args:
        num_classes: K.
        images: number of test images; needed to drop the repeats of distributed testing.
        **kwargs: options of `torchmetrics.Metric`.
    """

    primary = "top1"

    top1: list[Tensor]
    top5: list[Tensor]
    kl: list[Tensor]
    agreement: list[Tensor]

    def __init__(self, num_classes: int, images: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.images = images
        for name in ("top1", "top5", "kl", "agreement"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, output: Tensor, target: Tensor, reference: Tensor | None = None) -> None:
        """Add one batch.

        Args:
            output: logits [B, K]; only their order and, for KL, their scale matter.
            target: labels [B], int64.
            reference: logits [B, K] of the original network; in every batch or in none.

        Raises:
            ValueError: shapes do not match, or the reference comes and goes.
        """
        expected = (len(target), self.num_classes)
        for name, logits in (("output", output), ("reference", reference)):
            if logits is not None and logits.shape != expected:
                raise ValueError(
                    f"{name} must be {list(expected)} for these labels, got {list(logits.shape)}"
                )
        if self.top1 and bool(self.kl) != (reference is not None):
            raise ValueError("a reference must be given in every batch or in none; reset() between runs")
        output = output.detach().float()
        rank = _rank_of_target(output, target)
        self.top1.append((rank < 1).float())
        if self.num_classes > TOP_K:
            self.top5.append((rank < TOP_K).float())
        if reference is not None:
            reference = reference.detach().float()
            self.kl.append(kl_divergence(reference, output))
            same = (reference.argmax(1) == output.argmax(1)) & ~output.isnan().any(1)
            self.agreement.append(same.float())

    def compute(self) -> dict[str, float]:
        """Return the means over all test images; see the class.

        Raises:
            ValueError: no batch was added, or distributed results do not fit ``images``.
        """
        means: dict[str, float] = {}
        for name in ("top1", "top5", "kl", "agreement"):
            if len(values := getattr(self, name)):
                means[name] = self._in_test_order(values).double().mean().item()
        if not means:
            raise ValueError("no images yet: update() the metric with at least one batch")
        return means

    def outcomes(self) -> Tensor:
        """Return 1 for each image whose most likely class is right, else 0: float32 [N], on the CPU."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        ):
            return self._in_test_order(self.top1).cpu()

    def _in_test_order(self, values: Tensor | list[Tensor]) -> Tensor:
        gathered = dim_zero_cat(values)
        ranks = torch.distributed.get_world_size() if self._is_synced else 1
        return restore_test_order(gathered, ranks, self.images)


class NamedMetric(TaskMetric):
    """Any metric or collection of torchmetrics: its numbers by name, without outcomes of single images.

    A metric of one number is named by its class; each of several numbers by its key, or by its place.

    Args:
        metric: takes (output, target).
    """

    def __init__(self, metric: Metric | MetricCollection) -> None:
        super().__init__()
        self.primary = ""  # known once computed: the first
        self.inner = metric

    def update(self, output: Any, target: Any, reference: Any | None = None) -> None:
        """Add one batch; the reference is not looked at.

        Raises:
            ValueError: the metric does not take them; says why.
        """
        try:
            self.inner.update(output, target)
        except Exception as error:  # a metric may raise anything
            raise ValueError(
                f"{type(self.inner).__name__} does not take the network's output with these targets: {error}"
            ) from error

    def compute(self) -> dict[str, float]:
        """Return every number that the metric gives."""
        found = self.inner.compute()
        values = found if isinstance(found, Mapping) else {type(self.inner).__name__: found}
        numbers: dict[str, float] = {}
        for name, value in values.items():
            several = torch.as_tensor(value).flatten().tolist()
            one = len(several) == 1
            numbers |= {name if one else f"{name}/{index}": float(n) for index, n in enumerate(several)}
        self.primary = next(iter(numbers), "")
        return numbers

    def outcomes(self) -> None:
        """Return nothing: the metric keeps what it likes."""

    def reset(self) -> None:
        """Empty the metric."""
        super().reset()
        self.inner.reset()


def kl_divergence(reference: Tensor, output: Tensor) -> Tensor:
    """Return KL(softmax(reference) || softmax(output)) in nats per row.

    Args:
        reference: logits [B, K].
        output: logits [B, K].

    Returns:
        [B], at least 0.
    """
    log_p, log_q = reference.log_softmax(1), output.log_softmax(1)
    # Rounding can push a divergence of zero slightly below it.
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1).clamp_min(0)


def restore_test_order(gathered: Tensor, ranks: int, images: int | None) -> Tensor:
    """Undo what distributed testing does to per-image values.

    torch's DistributedSampler without shuffling deals images like cards: rank r of W gets r, r+W,
    r+2W, ... and, where W does not divide N, the first images are dealt once more at the end so that
    all ranks get equally many. Gathering then puts rank after rank. So: interleave, cut to N.

    Args:
        gathered: [N'], the values of rank 0, then of rank 1, and so on.
        ranks: W.
        images: N; None keeps everything, repeats included.

    Returns:
        Values [N] in test order; fewer where testing was stopped early, which only ever leaves out
        images at the end.

    Raises:
        ValueError: ranks hold different numbers of values, or more than one deal of N images.
    """
    if len(gathered) % ranks:
        raise ValueError(f"{len(gathered)} values cannot come from {ranks} ranks with equally many each")
    if images is not None and len(gathered) > -(-images // ranks) * ranks:
        raise ValueError(
            f"{len(gathered)} values for {images} test images on {ranks} rank(s): images were tested more"
            " than once; leave the trainer's use_distributed_sampler on, and reset() the metric between runs"
        )
    return gathered.reshape(ranks, -1).T.reshape(-1)[:images]


def _rank_of_target(output: Tensor, target: Tensor) -> Tensor:
    """Count the classes placed before the target [B]; all of them where an output is NaN."""
    score = output.gather(1, target[:, None])
    lower_index = torch.arange(output.shape[1], device=output.device) < target[:, None]
    before = (output > score) | ((output == score) & lower_index)
    return torch.where(output.isnan().any(1), output.shape[1], before.sum(1))
