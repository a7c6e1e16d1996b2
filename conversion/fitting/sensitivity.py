"""How far the spiking network's answers are from the ANN's, and how many spikes they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from conversion.fitting.facts import Calibration
from conversion.plan.layer import SpikingLayer
from conversion.signals.signals import map_structure


@dataclass(frozen=True)
class Effect:
    """A spiking network after T steps, on the images that it was measured on."""

    divergence: float  # from the ANN, per image and location
    spikes: Mapping[str, float]  # layer -> spikes of all images


class Sensitivity:
    """Simulates layers that parts of a recipe propose, beside the ANN, on a few calibration images.

    Args:
        calibration: the network and the images.
        time_steps: T.
        images: most images to look at.
    """

    def __init__(self, calibration: Calibration, time_steps: int, images: int) -> None:
        self._plan = calibration.plan
        self._time_steps = time_steps
        self._batches = list(_first(calibration.batches, images))
        self._ann = [_tensors(calibration.plan.captured(batch)) for batch in self._batches]

    def measure(self, layers: Mapping[str, SpikingLayer]) -> Effect:
        """Run these layers for T steps."""
        from conversion.network import SpikingNetwork  # which knows recipes, and through them this module

        network = SpikingNetwork(self._plan, layers)
        divergence, spikes, count = 0.0, dict.fromkeys(layers, 0.0), 0
        for batch, ann in zip(self._batches, self._ann, strict=True):
            (readout,) = network.simulate(batch, (self._time_steps,))
            outputs = _tensors(readout.output)
            divergences = [symmetric_divergence(*pair) for pair in zip(outputs, ann, strict=True)]
            divergence += len(batch) * sum(divergences) / len(divergences)
            count += len(batch)
            for name in spikes:
                spikes[name] += readout.activity.spikes[name]
        return Effect(divergence / count, spikes)


def symmetric_divergence(p: Tensor, q: Tensor) -> float:
    """(KL(p, q) + KL(q, p)) / 2 of the softmax of logits [B, C, ...], over C, mean over all else.

    A single channel is the logit of one class against none.
    """
    if p.shape[1] == 1:
        p, q = (torch.cat([logit, torch.zeros_like(logit)], 1) for logit in (p, q))
    log_p, log_q = p.double().log_softmax(1), q.double().log_softmax(1)
    return float(((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1).mean()) / 2


def _tensors(output: Any) -> list[Tensor]:
    """All tensors of an output that hold scores [B, C, ...]."""
    found: list[Tensor] = []
    map_structure(found.append, Tensor, output)
    return [tensor for tensor in found if tensor.ndim >= 2]


def _first(batches: list[Tensor], images: int) -> Iterator[Tensor]:
    """The first images, in batches of one size each."""
    for batch in batches:
        if images > 0:
            yield batch[:images]
        images -= len(batch)
