"""What a converted network gives: read-outs, and the arithmetic of outputs of any structure.

An output is a tensor, or tuples, lists and dicts of them, as the ANN's is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from conversion.costs.activity import Active
from conversion.costs.synapses import Connectivity
from conversion.costs.waiting import numbers
from conversion.signals.coding import Coding
from conversion.signals.memory import sum_over_time
from conversion.signals.signals import Signal, map_structure, zip_structure


@dataclass(frozen=True)
class Activity:
    """Spikes and synaptic operations of a batch, summed over its images and over time up to t."""

    images: int
    spikes: Mapping[str, float]  # source layer -> spikes; a burst of n counts n, a negative spike 1
    synops: Mapping[str, float]  # synaptic layer -> synaptic operations
    active: Mapping[str, Active] = field(default_factory=dict)  # of the quantised ANN: layer -> what is not 0


@dataclass(frozen=True)
class Ran:
    """Who ran a read-out.

    Attributes:
        backend: its name, as in `conversion.simulation.choice`.
        precision: of the weights that spikes met.
        layers: kernel -> layers of neurons, with weights, and of pooling that it ran.
    """

    backend: str
    precision: str
    layers: Mapping[str, int]


@dataclass(frozen=True)
class Readout:
    """The output of the network after t time steps, with what it cost and what ran it."""

    t: int  # time steps of the read-out, as asked for
    averaged: int  # output steps that were averaged; fewer than t where the first are left out
    t_total: float  # every step the network ran, averaged over images
    output: Any  # mean output over steps 1..t, structured as the ANN's output
    activity: Activity
    ran: Ran


def activity_of(spike_maps: Mapping[str, Tensor], wiring: Connectivity, images: int) -> Activity:
    """Spikes and exact SynOps from the maps of a `SpikeTally`.

    A pool that passes on currents or the image sends no spikes and is left out.
    """
    spikes = {name: counts.sum() for name, counts in spike_maps.items()}
    synops = {layer.name: layer.operations(spike_maps) for layer in wiring.layers}
    return Activity(images, numbers(spikes, float), numbers(synops, float))


def of_all_images(parts: Sequence[Readout], sizes: list[int], of_images: Any) -> Readout:
    """One read-out from those of groups of images; `of_images` as for `joined`."""
    first = parts[0]
    spikes = {name: sum(part.activity.spikes[name] for part in parts) for name in first.activity.spikes}
    synops = {name: sum(part.activity.synops[name] for part in parts) for name in first.activity.synops}
    output = joined([part.output for part in parts], of_images)
    return replace(first, output=output, activity=Activity(sum(sizes), spikes, synops))


def joined(parts: list[Any], of_images: Any) -> Any:
    """One output for all images from those of its parts.

    Args:
        parts: outputs of groups of images, one after the other.
        of_images: the same structure, or a prefix of it: True where a tensor holds image after image in
            its first axis, False where it is the same for all images.
    """
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts) if of_images and first.ndim else first
    if isinstance(first, dict):
        return {key: joined([part[key] for part in parts], item_of(of_images, key)) for key in first}
    if isinstance(first, list | tuple):
        columns = enumerate(zip(*parts, strict=True))
        items = [joined(list(column), item_of(of_images, index)) for index, column in columns]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return first


def item_of(of_images: Any, key: Any) -> Any:
    """What is known of one item; a value of several tensors is known as a whole."""
    return of_images if isinstance(of_images, bool) else of_images[key]


def summed(steps: int, weights: Tensor | None, signal: Signal) -> Tensor:
    """Sum of an output over the steps of a chunk."""
    if weights is None:
        return signal.data * steps if signal.steps == 1 else sum_over_time(signal.timed)
    weights = weights.to(signal.data)
    if signal.steps == 1:
        unchanging: Tensor = signal.data * weights.sum()
        return unchanging
    mean: Tensor = torch.tensordot(weights, signal.timed, 1)
    return mean


def decoded(coding: Coding, total: Any, rest: Any, t: int) -> Any:
    """Decoded output after t steps, tensor by tensor."""
    if rest is None:
        return map_structure(lambda tensor: coding.decode(tensor, None, t), Tensor, total)
    at_rest: list[Tensor] = []
    map_structure(at_rest.append, Tensor, rest)
    following = iter(at_rest)
    return map_structure(lambda tensor: coding.decode(tensor, next(following), t), Tensor, total)


def added(total: Any, more: Any) -> Any:
    """Sum of two outputs of the same structure, tensor by tensor."""
    return zip_structure(torch.add, total, more)
