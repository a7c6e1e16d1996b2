"""When a single image ends, before the last time step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from conversion.errors import RecipeError
from conversion.parts import Part, check, register, searched
from conversion.signals.signals import map_structure


@dataclass(frozen=True)
class Exit(Part):
    """Base of all rules for exits."""

    kind: ClassVar[str] = "exit"


@register
@dataclass(frozen=True)
class NoExit(Exit):
    """Every image runs to the last time step."""

    name: ClassVar[str] = "none"


@register
@dataclass(frozen=True)
class EntropyExit(Exit):
    """Input-aware time steps: an image is done once the network is sure of its answer.

    An image ends at the first t with 1 - H > h_t, where H is the entropy of the softmax of what is
    read out at t, divided by its largest possible value. For maps [B, C, ...], H is the mean over
    locations. With H_t the mean entropy at t of answers that are right,

        h_t = base + (1 - base) exp(min_t' H_t' - H_t)

    so that nothing ends at the t whose right answers are surest, or where no answer is right.

    The paper takes right answers from labels of training images. Conversion knows no labels: here an
    answer on a calibration image, or at a location of it, is right where it is the ANN's.

    Parameters:
        every: an image may end at each multiple of it.
        base: of the thresholds.
        threshold: takes the place of all h_t; None: they are fitted.
        images: calibration images to fit on.
        output: where the class scores are in the network's output, as keys and indices with dots
            between; empty for an output of one tensor, or one with a key "out".

    Source: Wang Z. et al. 2025 (AAAI), arXiv 2412.16219, and the authors' code, which takes the sum of
    logits in place of their mean; maps are an extension.
    """

    name: ClassVar[str] = "entropy"
    every: int = 1
    base: float = searched(0.6, 0.0, 0.99)
    threshold: float | None = None
    images: int = 128
    output: str = ""

    def __post_init__(self) -> None:
        check(self.every >= 1, f"every must be at least 1, got {self.every}")
        check(0 <= self.base <= 1, f"base must be in [0, 1], got {self.base}")
        check(
            self.threshold is None or 0 <= self.threshold <= 1,
            f"threshold must be in [0, 1], or None for fitted ones, got {self.threshold}",
        )
        check(self.images >= 1, f"images must be at least 1, got {self.images}")

    @property
    def floor(self) -> str:
        """What an image would still have gained."""
        return "ends an image as soon as its answer is sure"

    def steps(self, time_steps: int) -> list[int]:
        """Steps before the last one at which an image may end."""
        return list(range(self.every, time_steps, self.every))

    def scores(self, output: Any) -> Tensor:
        """Class scores [B, C, ...] in an output of the network.

        Raises:
            RecipeError: it is unclear, or wrong, where they are.
        """
        path = self.output
        if not path and isinstance(output, dict):
            path = "out" if "out" in output else ""
        for key in filter(None, path.split(".")):
            try:
                output = output[int(key)] if isinstance(output, list | tuple) else output[key]
            except (KeyError, IndexError, ValueError, TypeError):
                message = f"exit '{self.name}': the network's output has nothing at '{path}'"
                raise RecipeError(message) from None
        if not isinstance(output, Tensor):
            found: list[Tensor] = []
            map_structure(found.append, Tensor, output)
            if len(found) != 1:
                raise RecipeError(
                    f"exit '{self.name}': the network has {len(found)} outputs; say which holds the class "
                    'scores, as in exit: {name: entropy, output: "cls.0"}'
                )
            output = found[0]
        if output.ndim < 2 or output.shape[1] < 2:
            raise RecipeError(
                f"exit '{self.name}': class scores must be [B, C, ...] with at least two classes, got "
                f"{list(output.shape)}"
            )
        scores: Tensor = output
        return scores

    def entropy(self, output: Any) -> Tensor:
        """Entropy of the answers, [B] or [B, ...], as a share of the largest possible."""
        log_p = self.scores(output).float().log_softmax(1)
        return -(log_p.exp() * log_p).sum(1) / math.log(log_p.shape[1])

    def confidence(self, output: Any, images: int) -> Tensor:
        """1 - H of each image, [B], from answers for B `images`, one or several for each."""
        return 1 - self.entropy(output).reshape(images, -1).mean(1)

    def fitted(self, right: Mapping[int, float | None]) -> dict[int, float]:
        """h_t of every t, from the mean entropies H_t of right answers; None: no answer is right."""
        if self.threshold is not None:
            return dict.fromkeys(right, self.threshold)
        least = min((entropy for entropy in right.values() if entropy is not None), default=0.0)
        return {
            t: 1.0 if entropy is None else self.base + (1 - self.base) * math.exp(least - entropy)
            for t, entropy in right.items()
        }


class RightAnswers:
    """Mean entropy of the answers that are the ANN's, batch after batch."""

    def __init__(self, rule: EntropyExit) -> None:
        self._rule = rule
        self._entropy: dict[int, float] = {}
        self._count: dict[int, int] = {}

    def add(self, t: int, output: Any, ann: Any) -> None:
        """Answers at t, beside the ANN's for the same images."""
        scores, expected = self._rule.scores(output), self._rule.scores(ann)
        agree = scores.argmax(1) == expected.argmax(1)
        entropy = self._rule.entropy(output)[agree]
        self._entropy[t] = self._entropy.get(t, 0.0) + float(entropy.sum(dtype=torch.float64))
        self._count[t] = self._count.get(t, 0) + int(agree.sum())

    @property
    def means(self) -> dict[int, float | None]:
        """H_t of every t; None where no answer is right."""
        return {t: self._entropy[t] / count if count else None for t, count in self._count.items()}
