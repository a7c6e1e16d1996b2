"""Choose threshold, start and bias of every channel by what its neurons send, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from conversion.corrections.base import Correction
from conversion.corrections.weights import fit_weights
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import Neuron
from conversion.parts import check, register, searched
from conversion.plan.layer import SpikingLayer, per_channel
from conversion.simulation.choice import backend_for

MOST_BYTES = 512 * 2**20  # currents of one layer
AT_ONCE_BYTES = 2**20  # currents that stay in a core's cache while neurons are tried


@register
@dataclass(frozen=True)
class RateMatching(Correction):
    """Fit every channel to the spike trains that really arrive.

    A threshold that is best for the mean input is not best for a spike train: charge comes in bursts,
    early input is a poor estimate of the mean, and a neuron that sends one spike at most cannot catch
    up. So the layers are fitted in the order of computation, with all earlier ones already spiking. Two
    things are tried for every channel, in turns:

        threshold   m θ, with m from `low` to `high`: above 1 leaves room to catch up, up to the bound
                    of an activation that has one
        caution     the membrane starts d thresholds lower and gains d / T more in every step: the same
                    charge at T, but early spikes, which may be wrong and cost most, wait

    each time with the bias that makes the mean rate equal the ANN's mean activation. What gives
    rates of the least squared error against the ANN's activations is kept, or the layer stays as it
    was where nothing is better. Neurons of a channel share their fit, so images of other
    sizes can follow. T must be known.

    Parameters:
        low, high, candidates: multiples of the threshold, evenly spaced.
        haste, caution, cautions: number and range of d, in thresholds, evenly spaced from -haste (a
            higher start) to caution.
        rounds: how often each of the two is tried after the other.
        images: calibration images that take part; fewer where the currents of one layer over T steps
            would fill more than 512 MiB, but at least 8.
        samples: neurons of each channel, over all images, that the grid is judged on.
        iterations: steps of Adam that refit each layer's weights to the spikes that arrive, before
            anything else is tried; see `fit_weights`. 0: weights stay as they are.
        batch, learning_rate: of these steps, as in correction "layerwise".
        time_steps: T; 0: the T of each read-out, for which the network is then fitted again.

    Source: this project; docs/spikemark.md. The bias is that of Li et al. 2021, arXiv 2106.06984,
    and so are the weights' steps.
    """

    name: ClassVar[str] = "rate-matching"
    telescopes: ClassVar[bool] = True
    low: float = 0.5
    high: float = 1.5
    candidates: int = 11
    haste: float = 0.25
    caution: float = searched(1.0, 0.0, 2.0)  # thresholds
    cautions: int = 6
    rounds: int = 2
    images: int = 256
    samples: int = 8192
    iterations: int = 0
    batch: int = 32
    learning_rate: float = 3e-4
    time_steps: int = 0

    def __post_init__(self) -> None:
        check(0 < self.low <= 1 <= self.high, f"low <= 1 <= high, got {self.low} and {self.high}")
        for name in ("haste", "caution"):
            check(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("candidates", "cautions", "rounds", "images", "samples", "batch"):
            check(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        check(self.iterations >= 0, f"iterations must not be negative, got {self.iterations}")
        check(self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}")
        check(self.time_steps >= 0, f"time_steps must be positive, or 0 for T, got {self.time_steps}")

    @property
    def needs_time_steps(self) -> bool:
        """True unless T is given."""
        return not self.time_steps

    @property
    def floor(self) -> str:
        """Weights that suit the calibration images, or what was fitted for another T."""
        if self.iterations:
            return "refits weights to the calibration images"
        return f"is fitted for T = {self.time_steps}" if self.time_steps else ""

    def fit(self, calibration: Calibration, layers: Mapping[str, SpikingLayer]) -> dict[str, SpikingLayer]:
        """Layers with threshold, initial potential and offset chosen by channel; may change weights."""
        neuron = calibration.plan.neuron
        if neuron.whole_window or neuron.coding.needs_rest:
            raise RecipeError(
                f"correction '{self.name}' follows rate-coded spikes step by step; neuron '{neuron.name}' "
                "sends others"
            )
        steps = self.time_steps or calibration.time_steps
        assert steps is not None
        images = calibration.images(self._affordable(calibration, steps))
        return SpikingPass(calibration.plan, layers, images, steps, self._match).fit()

    def _affordable(self, calibration: Calibration, steps: int) -> int:
        """Images whose currents fit into memory in every layer."""
        shapes = [calibration.plan.shapes[node] for node, _ in calibration.neuron_layers]
        largest = max((shape[1:].numel() for shape in shapes), default=1)
        return min(self.images, max(8, MOST_BYTES // (4 * steps * largest)))

    def _match(self, arrival: Arrival) -> None:
        """Replace the arriving layer by the best candidate of each channel."""
        if self.iterations:
            fit_weights(arrival, self.iterations, self.batch, self.learning_rate)
        axis = arrival.axis % arrival.activation.ndim
        current, activation = self._sampled(
            arrival.current.movedim(axis + 1, 2), arrival.activation.movedim(axis, 1)
        )
        channels, ndim = activation.shape[1], arrival.activation.ndim
        neuron, steps = arrival.layer.neuron, arrival.steps
        best = given = _Fit.of(arrival.layer, channels, steps)
        error = _error(best.sent(neuron, current, steps), activation)
        highest = arrival.layer.highest_threshold  # of an activation with an upper bound
        thresholds: list[dict[str, Any]] = [
            {"threshold": (given.threshold * multiple).clamp(max=highest)} for multiple in self._multiples
        ]
        cautions: list[dict[str, Any]] = [
            {"caution": torch.full_like(given.caution, caution)} for caution in self._cautions
        ]
        for changes in (thresholds, cautions) * self.rounds:
            for change in changes:
                candidate = replace(best, bias=given.bias, **change)
                missing = (activation - candidate.sent(neuron, current, steps)).mean(0)
                candidate = replace(candidate, bias=given.bias + missing)
                found = _error(candidate.sent(neuron, current, steps), activation)
                best, error = best.where(found < error, candidate), torch.minimum(error, found)
        arrival.layer = best.of_layer(arrival.layer, ndim, arrival.axis)

    @property
    def _multiples(self) -> list[float]:
        return torch.linspace(self.low, self.high, self.candidates).tolist()

    @property
    def _cautions(self) -> list[float]:
        return torch.linspace(-self.haste, self.caution, self.cautions).tolist()

    def _sampled(self, current: Tensor, activation: Tensor) -> tuple[Tensor, Tensor]:
        """Currents [T or 1, S, C] and activations [S, C] of the same neurons of every channel."""
        current, activation = (
            value.reshape(*value.shape[: axes + 1], -1) for value, axes in ((current, 2), (activation, 1))
        )
        places = activation.shape[0] * activation.shape[2]
        order = torch.randperm(places, generator=torch.Generator().manual_seed(0))[: self.samples]
        order = order.to(activation.device)
        image, place = order // activation.shape[2], order % activation.shape[2]
        return current[:, image, :, place].movedim(0, 1), activation[image, :, place]


@dataclass(frozen=True)
class _Fit:
    """What the neurons of each channel start from; all [C]."""

    threshold: Tensor
    initial: Tensor  # in thresholds, before caution
    bias: Tensor  # current of every step, in units of the activation
    caution: Tensor  # in thresholds: held back at the start, given back over T steps
    steps: int

    @classmethod
    def of(cls, layer: SpikingLayer, channels: int, steps: int) -> _Fit:
        threshold = layer.threshold.flatten().expand(channels)
        initial = layer.initial.flatten().expand(channels)
        bias = threshold.new_zeros(1) if layer.offset is None else layer.offset.flatten()
        bias = bias.expand(channels)
        return cls(threshold, initial, bias, torch.zeros_like(threshold), steps)

    @property
    def offset(self) -> Tensor:
        """Constant current of every step, in units of the activation."""
        return self.bias + self.caution * self.threshold / self.steps

    def sent(self, neuron: Neuron, current: Tensor, steps: int) -> Tensor:
        """Mean over T of what neurons [S, C] send for currents [T or 1, S, C]."""
        together = max(1, AT_ONCE_BYTES // (4 * len(current) * current.shape[2]))
        totals = []
        for part in current.split(together, 1):
            driven = (part + self.offset).div_(self.threshold)
            state = neuron.start((self.initial - self.caution).expand_as(driven[0]).clone())
            totals.append(backend_for(driven).sent(neuron, driven, steps, state))
        return torch.cat(totals) * self.threshold / steps

    def where(self, better: Tensor, other: _Fit) -> _Fit:
        """The other's values in channels where it is better [C]."""
        names = ("threshold", "initial", "bias", "caution")
        chosen: dict[str, Any] = {
            name: torch.where(better, getattr(other, name), getattr(self, name)) for name in names
        }
        return replace(self, **chosen)

    def of_layer(self, layer: SpikingLayer, ndim: int, axis: int = 1) -> SpikingLayer:
        """The layer with this fit, for activations of `ndim` axes with channels along one."""
        return replace(
            layer,
            threshold=per_channel(self.threshold, ndim, axis),
            initial=per_channel(self.initial - self.caution, ndim, axis),
            offset=per_channel(self.offset, ndim, axis),
        )


def _error(sent: Tensor, activation: Tensor) -> Tensor:
    """Mean squared error of each channel [C]."""
    return (sent - activation).square().mean(0)
