"""Thresholds and inputs of parallel neurons, shifted channel by channel until they mean what the ANN does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from conversion.corrections.base import Correction
from conversion.corrections.layerwise import channel_means
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import Parallel
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer


@register
@dataclass(frozen=True)
class ChannelCalibration(Correction):
    """Shift the input of every channel, and what its spikes transmit, by the mean errors before and after.

    Layers are fitted in the order of computation, earlier ones already spiking, the ANN beside them.
    With z and a the input and the output of the ANN's neurons, and x and y those of the spiking ones, as
    means over T steps,

        input    every step gets mean(z - x) more
        output   a spike transmits θ + o, while it still takes θ off the membrane, where
                 o = mean(a - y), and y is what is sent with this very o

    The published updates, in <- 0.99 in + 0.01 mean(z - x) and o <- 0.99 o + 0.01 mean(a - y) for each
    batch, come to rest exactly there. With n spikes on average, y = (θ + o) n / T, so
    o = (mean(a) - θ n / T) / (1 + n / T), found here at once instead of by thousands of batches.

    Parameters:
        images: calibration images that take part. Memory and time grow with images times T.
        input, output: which of the two are shifted.

    Source: DA-QCFS of Hao et al. 2025 (ICML), arXiv 2412.13610, and the authors' code.
    """

    name: ClassVar[str] = "channel-calibration"
    runs_spikes: ClassVar[bool] = True
    images: int = searched(64, 16, 256, log=True)
    input: bool = True
    output: bool = True

    def __post_init__(self) -> None:
        check(self.images >= 1, f"images must be at least 1, got {self.images}")

    @property
    def changes_weights(self) -> bool:
        """No."""
        return False

    @property
    def needs_time_steps(self) -> bool:
        """True: errors depend on T."""
        return True

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """ANN forwards that a fit for T costs, a time step counted as one; of so many calibration images."""
        return 2 * min(self.images, images) * time_steps

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with shifted inputs and thresholds."""
        for layer in layers.values():
            if not isinstance(layer.neuron, Parallel):
                raise RecipeError(
                    f"correction '{self.name}' lets a spike transmit more or less than it takes off the "
                    f"membrane, which neuron '{layer.neuron.name}' does not do; use neuron parallel"
                )
        assert calibration.time_steps is not None
        images = calibration.images(self.images)
        ann = calibration.ann(images)
        return SpikingPass(calibration.plan, layers, images, calibration.time_steps, self._shift, ann).fit()

    def _shift(self, arrival: Arrival) -> None:
        if self.input:
            shift_input(arrival)
        if self.output:
            shift_output(arrival)


def shift_input(arrival: Arrival) -> None:
    """Add to the current of each channel [1, C, 1, ...] what its mean lacks."""
    layer = arrival.layer
    lacking = channel_means(arrival.drive - arrival.current.mean(0)).to(layer.threshold.dtype)
    arrival.layer = replace(layer, offset=lacking if layer.offset is None else layer.offset + lacking)


def shift_output(arrival: Arrival) -> None:
    """Let spikes of each channel transmit more or less; what they take off the membrane stays.

    A bounded activation keeps its bound, and a spike never transmits less than a tenth of its threshold.
    """
    layer, neuron = arrival.layer, arrival.layer.neuron
    assert isinstance(neuron, Parallel)
    share = channel_means(arrival.rate() / layer.threshold)  # n / T
    wanted = channel_means(arrival.activation)
    threshold = layer.threshold + (wanted - layer.threshold * share) / (1 + share)
    threshold = torch.maximum(threshold, layer.threshold / 10).clamp(max=layer.highest_threshold)
    kept = layer.threshold / threshold
    level = tuple((kept * _level(neuron, kept)).flatten().tolist())
    arrival.layer = replace(
        layer,
        threshold=threshold.to(layer.threshold.dtype),
        initial=layer.initial * kept,
        neuron=replace(neuron, level=level),
    )


def _level(neuron: Parallel, like: Tensor) -> Tensor | float:
    """What a spike took off the membrane so far, in thresholds: [1, C, 1, ...] or one number."""
    return like.new_tensor(neuron.level).view_as(like) if isinstance(neuron.level, tuple) else neuron.level
