"""Weights of steps for each layer; threshold and bias of each step for each channel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from conversion.corrections.base import Correction
from conversion.corrections.matching import MOST_BYTES, TRIED
from conversion.corrections.step_search import Seen, choose_weights, refine, right_means
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import Shrinking
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer, per_channel


@register
@dataclass(frozen=True)
class StepWeights(Correction):
    """Choose how fast the weights of spikes shrink, layer by layer, on the spike trains that really arrive.

    Layers are fitted in the order of computation, with all earlier ones already spiking. First layers know
    their input from the first step on, and their weights can shrink fast. Deep layers have to correct what
    they said when they knew little, which takes weights that stay large. So each layer tries

        weights     1, 2^-r, 2^-2r, ..., to the nearest power of two, for every r (in quarters) that leaves no
                    gaps between the sums
        thresholds  of every channel, multiples from `low` to `high`

    and keeps the weights of the least error. Then the bias of each step and channel, and again the threshold,
    move where the error falls. Before all of it, biases make the mean of every step's estimate right.

    The error is the mean of (O_t - a)², with a the ANN's activation and O_t what was sent up to step t, at T
    and, with less weight, in the steps before: layers that follow can do more with what they learn early.

    Neurons of a channel share their fit, so images of other sizes can follow. T must be known.

    Parameters:
        low, high, candidates: multiples of the threshold, evenly spaced.
        rounds: how often biases and thresholds move, each time half as far.
        early: weight of the error of a step over that of the step after it.
        images: calibration images that take part; fewer where the currents of one layer over T steps would
            fill more than 512 MiB, but at least 8.
        samples: neurons of each channel, over all images, that are looked at.

    Source: this project, docs/spikemark.md.
    """

    name: ClassVar[str] = "step-weights"
    runs_spikes: ClassVar[bool] = True
    low: float = 0.3
    high: float = 1.3
    candidates: int = 11
    rounds: int = searched(3, 0, 5)
    early: float = searched(0.6, 0.0, 1.0)
    images: int = 256
    samples: int = 2048

    def __post_init__(self) -> None:
        check(0 < self.low <= 1 <= self.high, f"low <= 1 <= high, got {self.low} and {self.high}")
        check(0 <= self.early <= 1, f"early must be in [0, 1], got {self.early}")
        check(self.rounds >= 0, f"rounds must not be negative, got {self.rounds}")
        for name in ("candidates", "images", "samples"):
            check(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def needs_time_steps(self) -> bool:
        """True: there is a weight for each of T steps."""
        return True

    @property
    def changes_weights(self) -> bool:
        """No: those of spikes alone."""
        return False

    def fit_forwards(self, images: int, time_steps: int) -> int:
        """ANN forwards that a fit for T costs, a time step counted as one; of so many calibration images."""
        return TRIED * min(self.images, images) * time_steps

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with weights, thresholds and biases of their own."""
        for layer in layers.values():
            if not isinstance(layer.neuron, Shrinking):
                raise RecipeError(
                    f"correction '{self.name}' weighs the steps of neuron 'shrinking'; neuron "
                    f"'{layer.neuron.name}' has no weights of steps"
                )
        steps = calibration.time_steps
        assert steps is not None
        shapes = [calibration.plan.shapes[node] for node, _ in calibration.neuron_layers]
        largest = max((shape[1:].numel() for shape in shapes), default=1)
        images = calibration.images(min(self.images, max(8, MOST_BYTES // (4 * steps * largest))))
        ann = calibration.ann(images)
        return SpikingPass(calibration.plan, layers, images, steps, self._choose, ann).fit()

    def _choose(self, arrival: Arrival) -> None:
        """Replace the arriving layer by the best that was found."""
        layer, steps = arrival.layer, arrival.steps
        neuron = layer.neuron
        assert isinstance(neuron, Shrinking)
        ndim, sample = arrival.activation.ndim, arrival.sample(self.samples, arrival.axis)
        current = sample.current.movedim(1, 0)  # [T or 1, C, S]
        steady = len(current) == 1
        seen = Seen(
            current if steady else current.cumsum(0) / steps,
            *(sample.wanted, steps, neuron.gamma, neuron.signed, self.early),
            math.inf if layer.ceiling is None else layer.ceiling,
        )
        most, by_step = layer.highest_threshold, arrival.axis == 1
        shift = right_means(seen)
        if not by_step:  # one constant current in place of a bias for each step
            share = torch.arange(1, steps + 1).to(shift) / steps
            shift = (torch.ones_like(share) if steady else share)[:, None] * shift[-1]
        multiples = torch.linspace(self.low, self.high, self.candidates).to(shift)
        threshold = layer.threshold.flatten().expand(len(sample.wanted))
        found = choose_weights(seen, threshold, multiples, shift, most)
        found = refine(seen, found, self.rounds, most, by_step)
        gains = (float(steps), *[0.0] * (steps - 1)) if steady else ()
        bias: tuple[tuple[float, ...], ...] = ()
        offset = None
        if by_step:
            moved = found.shift.diff(dim=0, prepend=torch.zeros_like(found.shift[:1]))
            bias = tuple(map(tuple, (moved * steps / found.threshold).tolist()))
        else:
            offset = per_channel(found.shift[-1], ndim, arrival.axis)
        arrival.layer = replace(
            layer,
            neuron=replace(neuron, weights=found.weights, gains=gains, bias=bias),
            threshold=per_channel(found.threshold, ndim, arrival.axis),
            offset=offset,
        )
