"""What the parts of a recipe may look at while they fit a network's layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, fx

from conversion.errors import CalibrationError
from conversion.fitting.alongside import Alongside
from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.operations import Kind
from conversion.graph.roles import Role
from conversion.neurons import Neuron
from conversion.plan.layer import SpikingLayer, per_channel
from conversion.plan.plan import Plan


class ThresholdRule(Protocol):
    """Sets the thresholds of all layers; `conversion.scales.Scale` is one."""

    @property
    def beyond(self) -> float:
        """Range of a step over the bound of an activation that has one, where neurons receive its values."""
        ...

    def fit(self, calibration: Calibration) -> Mapping[str, Tensor]:
        """Thresholds by layer, [C] or [1] each."""
        ...


@dataclass(frozen=True)
class LayerFacts:
    """What is known of one neuron layer when its threshold is set."""

    name: str
    statistics: ActivationStatistics
    neuron: Neuron
    ceiling: float | None = None  # upper bound of the activation
    time_steps: int | None = None  # T, where the recipe is fitted for one
    initial: float = 0.0  # membrane potential before the first step, plus all that is added over T
    rectified: bool = True  # the activation is its input above 0, and less than that below


@dataclass(frozen=True)
class Calibration:
    """The captured network, its activations on the calibration images, and the images."""

    plan: Plan
    batches: list[Tensor]  # [B, C, H, W] each, or whatever the captured part of the network takes
    statistics: Mapping[str, ActivationStatistics]  # per neuron layer
    time_steps: int | None  # T, where the recipe is fitted for one
    scale: ThresholdRule  # the recipe's
    neurons: Mapping[str, Neuron] = field(default_factory=dict)  # of layers that differ from the recipe's
    beside: dict[int, Alongside] = field(default_factory=dict)  # number of images -> the ANN on them

    @property
    def neuron_layers(self) -> list[tuple[fx.Node, Role]]:
        """Neuron layers, in the order of computation."""
        return [(node, self.plan.roles[node]) for node in self.plan.nodes_of(Kind.NEURON)]

    def facts(self, role: Role) -> LayerFacts:
        """What is known of one layer."""
        rule = self.plan.method.initial
        initial = rule.value
        if self.time_steps is not None:
            initial += rule.shift(self.time_steps) * self.time_steps
        neuron = self.neurons.get(role.name) or self.plan.neuron_of(role)
        return LayerFacts(
            role.name,
            self.statistics[role.name],
            neuron,
            role.ceiling,
            self.time_steps,
            initial,
            role.function is None and not isinstance(role.slope, tuple),
        )

    def layer(self, role: Role, threshold: Tensor, ndim: int) -> SpikingLayer:
        """A layer with these thresholds [C] or [1], see `usable_threshold`, for activations of `ndim` axes.

        Raises:
            CalibrationError: a threshold is not finite.
        """
        initial, facts = self.plan.method.initial, self.facts(role)
        threshold = per_channel(usable_threshold(facts, threshold, self.scale.beyond), ndim, role.axis)
        start = per_channel(initial.value, ndim).to(threshold.device)
        shift = initial.shift(self.time_steps) if self.time_steps is not None else 0.0
        offset = shift * threshold if shift else None
        return SpikingLayer(facts.neuron, threshold, start, offset, role.ceiling)

    def layers(self) -> dict[str, SpikingLayer]:
        """All layers, as the recipe's threshold rule makes them; errors as `layer`."""
        thresholds = self.scale.fit(self)
        return {
            role.name: self.layer(role, thresholds[role.name], len(self.plan.shapes[node]))
            for node, role in self.neuron_layers
        }

    def images(self, most: int) -> Tensor:
        """The first `most` calibration images in one batch.

        Raises:
            CalibrationError: they are not all of one size; names the sizes.
        """
        found: list[Tensor] = []
        for batch in self.batches:
            found.append(batch[: most - sum(map(len, found))])
            if sum(map(len, found)) >= most:
                break
        sizes = sorted({tuple(batch.shape[1:]) for batch in found})
        if len(sizes) > 1:
            found_sizes = " and ".join(map(str, sizes))
            raise CalibrationError(
                f"recipe '{self.plan.method.label}' simulates calibration images together, so they must be "
                f"of one size; got {found_sizes}: resize or crop them, or pass those of one size"
            )
        return torch.cat(found)

    def ann(self, images: Tensor) -> Alongside:
        """The ANN on the first images, shared by fits for several T."""
        if len(images) not in self.beside:
            self.beside[len(images)] = Alongside(self.plan, images)
        return self.beside[len(images)]


def usable_threshold(facts: LayerFacts, threshold: Tensor, beyond: float = 1.0) -> Tensor:
    """Thresholds [C] or [1] that a neuron can work with.

    Where the rule gives 0, because so many activations are 0, the channel's largest activation takes
    its place, or the layer's, or 1 where nothing was ever active. A bounded activation keeps its
    bound: with at most gamma spikes a step, a threshold of bound / gamma saturates exactly there. Neurons
    that do not rectify receive values that keep it, so one step may say `beyond` times as much.

    Raises:
        CalibrationError: a threshold is not finite.
    """
    if not torch.isfinite(threshold).all():
        raise CalibrationError(f"layer '{facts.name}': threshold is not finite")
    maximum = facts.statistics.maximum.to(threshold.dtype)
    layer = maximum.max()
    largest = maximum if len(threshold) > 1 else layer[None]
    for fallback in (largest, layer, threshold.new_ones(())):
        threshold = torch.where(threshold > 0, threshold, fallback)
    if facts.ceiling is not None:
        most = facts.ceiling * (1.0 if facts.neuron.rectifies else beyond)
        threshold = threshold.clamp(max=most / facts.neuron.max_per_step)
    return threshold
