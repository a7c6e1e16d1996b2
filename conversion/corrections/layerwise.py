"""Bias, initial potential and weights refitted so that spiking rates meet the ANN's activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from conversion.corrections.base import Correction
from conversion.corrections.weights import DESCENT, fit_weights
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer


@register
@dataclass(frozen=True)
class Layerwise(Correction):
    """Layer by layer, with all earlier layers spiking, remove the mean difference from the ANN.

    With a the ANN's activations on the same images and r the rates after T steps, in each round

        weights     minimise the mean of (q(W r_in) - a)² over the layer's weights; see `fit_weights`
        potential   v0 <- v0 + (T / θ) mean over images of (a - r), for each neuron
        bias        current of every step <- current + mean over images and places of (a - r)

    in this order, each with r measured again.

    Parameters:
        bias, potential, weights: which of them are refitted.
        per_channel: one potential for each channel, so that images of any size can be run, in place of
            one for each neuron, which fixes the size of images.
        rounds: how often. One in Li et al.; repeated, the means of rates and activations come closer.
        iterations, batch, learning_rate: of the weights (Adam, cosine down to 0), in each round. Papers:
            5000 steps of 32 images at 4e-5 (Li et al.), 1000 steps at 3e-4 (Wang et al.).
        images: calibration images that take part. Papers: one batch for bias and potential, 1024
            (Li et al.) or 256 (Wang et al.) for weights. Memory and time grow with images times T.
        time_steps: T; 0: the T of each read-out, for which the network is then fitted again.

    Sources: Li et al. 2021 (ICML), arXiv 2106.06984, "light" (bias) and "advanced" (all three);
    Wang et al. 2022, arXiv 2205.07473, phase II (potential and weights in turn). The authors' scripts
    use different orders, and the text of Li et al. does not name one.
    """

    name: ClassVar[str] = "layerwise"
    runs_spikes: ClassVar[bool] = True
    telescopes: ClassVar[bool] = True
    bias: bool = True
    potential: bool = False
    weights: bool = False
    per_channel: bool = False
    rounds: int = searched(1, 1, 5)
    iterations: int = 150
    batch: int = 32
    learning_rate: float = searched(3e-4, 1e-5, 3e-3, log=True)
    images: int = 32
    time_steps: int = 0

    def __post_init__(self) -> None:
        for field in ("rounds", "iterations", "batch", "images"):
            check(getattr(self, field) >= 1, f"{field} must be at least 1, got {getattr(self, field)}")
        check(self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}")
        check(self.time_steps >= 0, f"time_steps must be positive, or 0 for T, got {self.time_steps}")

    @property
    def needs_time_steps(self) -> bool:
        """True unless T is given."""
        return not self.time_steps

    @property
    def changes_weights(self) -> bool:
        """True where weights are refitted."""
        return self.weights

    @property
    def floor(self) -> str:
        """Weights that suit the calibration images, or what was fitted for another T."""
        if self.weights:
            return "refits weights to the calibration images"
        return f"is fitted for T = {self.time_steps}" if self.time_steps else ""

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """ANN forwards that a fit for T costs, a time step counted as one; of so many calibration images."""
        seen, steps = min(self.images, images), self.time_steps or time_steps
        measured = 1 + self.rounds * (self.bias + self.potential)
        descents = self.rounds * self.iterations if self.weights else 0
        return measured * seen * steps + DESCENT * descents * min(self.batch, seen)

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Corrected layers; with `weights`, the captured network's weights change too."""
        steps = self.time_steps or calibration.time_steps
        assert steps is not None
        images = calibration.images(self.images)
        ann = calibration.ann(images)
        return SpikingPass(calibration.plan, layers, images, steps, self._settle, ann).fit()

    def _settle(self, arrival: Arrival) -> None:
        for _ in range(self.rounds):
            if self.weights:
                fit_weights(arrival, self.iterations, self.batch, self.learning_rate)
            if self.potential:
                correct_potential(arrival, self.per_channel)
            if self.bias:
                correct_bias(arrival)


def correct_bias(arrival: Arrival) -> None:
    """Add to the current of each channel [1, C, 1, ...] what its mean rate lacks."""
    layer = arrival.layer
    lacking = channel_means(arrival.activation - arrival.rate(), arrival.axis).to(layer.threshold.dtype)
    arrival.layer = replace(layer, offset=lacking if layer.offset is None else layer.offset + lacking)


def correct_potential(arrival: Arrival, per_channel: bool) -> None:
    """Put into each membrane, [1, C, ...] or [1, C, 1, ...], the charge that its rate lacks on average."""
    layer = arrival.layer
    lacking = (arrival.activation - arrival.rate()) * (arrival.steps / layer.threshold)
    lacking = channel_means(lacking, arrival.axis) if per_channel else lacking.mean(0, keepdim=True)
    arrival.layer = replace(layer, initial=layer.initial + lacking.to(layer.initial.dtype))


def channel_means(values: Tensor, axis: int = 1) -> Tensor:
    """Means [1, C, 1, ...] over all axes of [B, C, ...] but the channels, which may be another axis."""
    kept = axis % values.ndim
    return values.mean([other for other in range(values.ndim) if other != kept], keepdim=True)
