"""Synapses of a random network, one by one: each unit spikes alone, and what changes is counted."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CHANGED = 1e-9


@dataclass(frozen=True)
class Truth:
    """What is true of a network.

    Attributes:
        fanout: (layer, source) -> synapses that a spike of each unit reaches, [F, C, ...]; by step.
        drives: layer -> what it receives.
        macs: layer -> products with one image, of a dense layer.
    """

    fanout: dict[tuple[int, int], Tensor]
    drives: dict[int, str]
    macs: dict[int, float]


def truth_of(network) -> Truth:
    network = copy.deepcopy(network).double()
    with torch.no_grad():
        values = network.values(torch.zeros(1, *network.size, dtype=torch.float64))
        holds = _holds(network)
        layers = [i for i, step in enumerate(network.steps, 1) if step.kind == "weighted"]
        sources = [i for i in range(1, len(values)) if network.sends(i) and "source" in holds[i]]
        fanout = {}
        for source in sources:
            at_rest = _spread(network, values, source, torch.zeros_like(values[source]), 1)
            units = values[source].numel()
            spikes = torch.eye(units, dtype=torch.float64).view(-1, *values[source].shape[1:])
            spiking = _spread(network, values, source, spikes, units)
            for layer in layers:
                (number,) = network.steps[layer - 1].inputs
                if "current" in holds[number] or "spikes" not in holds[number]:
                    continue
                before, after = at_rest[number], spiking[number]
                changed = (after - before.repeat(units, *[1] * (after.ndim - 1))).abs() > CHANGED
                counted = _products(network.ops[layer - 1], changed.double(), units)
                if counted.any():
                    fanout[layer, source] = counted.view(values[source].shape)
        drives = {layer: _drive(holds[network.steps[layer - 1].inputs[0]]) for layer in layers}
        macs = {layer: _dense(network, layer, values) for layer in layers}
    return Truth(fanout, drives, macs)


def _spread(network, values, source, spikes, images) -> list[Tensor]:
    """Every value where one source sends `spikes`, and nothing else sends anything."""
    silent = [value.new_zeros((images * len(value), *value.shape[1:])) for value in values]
    found = [silent[0]]
    for number, (step, op) in enumerate(zip(network.steps, network.ops, strict=True), 1):
        if number == source:
            found.append(spikes)
        elif step.kind != "affine":
            found.append(silent[number])
        else:
            found.append(op(*(found[i] for i in step.inputs)))
    return found


def _products(op: nn.Module, arriving: Tensor, images: int) -> Tensor:
    """Products of weights that are not 0 with 0-1 inputs, for each image."""
    twin = copy.deepcopy(op)
    for parameter in twin.parameters():
        parameter.data = (parameter.data != 0).double()
    if getattr(twin, "bias", None) is not None:
        twin.bias.data.zero_()
    return twin(arriving).reshape(images, -1).sum(1).round()


def _dense(network, layer: int, values: list[Tensor]) -> float:
    """Products of a dense layer: of each output, those with padding included."""
    op, output = network.ops[layer - 1], values[layer]
    arriving = values[network.steps[layer - 1].inputs[0]]
    if isinstance(op, nn.Linear):
        return output.numel() * op.in_features
    if getattr(op, "transposed", False):
        return arriving.numel() * op.weight[0].numel()
    if isinstance(op, nn.modules.conv._ConvNd):
        return output.numel() * op.weight[0].numel()
    (weight,) = op.constants
    return output.numel() * (
        weight[0].numel() if "conv" in network.steps[layer - 1].says else arriving.shape[-1]
    )


def _holds(network) -> list[set[str]]:
    """What each value is made of: "image", "spikes", "current"; and "source" where it sends spikes."""
    holds: list[set[str]] = [{"image"}]
    for step in network.steps:
        before = set[str]().union(*(holds[i] - {"source"} for i in step.inputs))
        if step.kind == "neuron" or (step.kind == "pool" and "spikes" in before and "current" not in before):
            holds.append({"spikes", "source"})
        elif step.kind == "weighted":
            holds.append({"current"} if before & {"spikes", "current"} else {"image"})
        else:
            holds.append(before)
    return holds


def _drive(held: set[str]) -> str:
    if "current" in held:
        return "current"
    if "spikes" in held:
        return "mixed" if "image" in held else "spikes"
    return "analog"
