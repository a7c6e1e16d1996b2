"""How many images and time steps go through a layer together, and which kernel adds up its synapses.

No choice changes what neurons send: weights are the same integers in both kernels. The rule here is a good
guess; `conversion.simulation.probe` measures which schedule is fastest on a machine.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor

from conversion.graph.operations import Kind
from conversion.neurons import Neuron
from conversion.plan.fitted import Fitted
from conversion.simulation.backend import (
    CACHE_BYTES,
    Precision,
    Schedule,
    images_in_cache,
    largest_layer,
    neighbours,
)
from conversion.simulation.compiled.byte_layers import BYTES
from conversion.simulation.compiled.lanes import VECTOR, fits_planes, lanes_for, planes_of
from conversion.simulation.compiled.native import byte_lanes, has_synapses, has_tables, has_tiles
from conversion.simulation.compiled.table_layers import TABLES
from conversion.simulation.fused.firing import carriers_of, firing_of, range_of, telescoped, without_bias

FLOAT = 4  # bytes
_INDEX_BYTES = 1 / 3  # of a spike in the table kernel
# Processor time of the table kernel, for one plane in full registers, over that of the byte kernel, measured
# with ResNet-20 for processors with AVX-512 (16 lanes) and AVX2; each further plane takes as long again.
_TABLES = {
    16: {"float32": 0.62, "int16": 0.46, "int8": 0.52},
    8: {"float32": 0.51, "int16": 0.28, "int8": 0.5},
}


def planes_for(neurons: Collection[Neuron]) -> int:
    """Planes of bits that hold what these neurons send in a step; 0 where the table kernel cannot."""
    least, most = range_of(neurons)
    firings = [firing_of(without_bias(neuron)) for neuron in neurons]
    in_bytes = torch.float32 not in carriers_of(neurons).values()
    if not (in_bytes and fits_planes(most, least)) or not all(one and one.in_tables for one in firings):
        return 0
    return len(planes_of(most, least))


def uses_tables(images: int, chunk: int, precision: Precision, planes: int) -> bool:
    """True where looking sums up is faster than multiplying; never where a matrix unit multiplies.

    Args:
        images: that go through a layer together.
        chunk: time steps that do.
        precision: of the weights.
        planes: of bits that hold the spikes of one step, see `planes_for`.
    """
    if has_tiles() or not fits_tables(images, planes):
        return False
    lanes = lanes_for(images)
    vectors = -(-chunk * lanes // VECTOR)
    filled = images * chunk / (vectors * VECTOR)
    return _TABLES[byte_lanes()][precision] * planes < filled


def _mixes(fitted: Fitted) -> bool:
    """True where layers that only the byte kernel runs would unpack bits and pack them again."""
    captured = fitted.plan.captured
    weighted = [node for node in fitted.plan.nodes_of(Kind.WEIGHTED) if node.op == "call_module"]
    tokens = any(len(fitted.plan.shapes[node]) == 3 for node in weighted)
    return tokens or any(
        getattr(captured.get_submodule(str(node.target)), "groups", 1) > 1 for node in weighted
    )


def evenly(images: int, most: int) -> int:
    """Images in each part of a batch, at most `most`: parts that are alike take each other's memory."""
    parts = -(-images // most)
    return -(-images // parts) if parts > 1 else most


def value_bytes(fitted: Fitted) -> float:
    """Mean size of what a layer hands on: bytes, and floats every other time where PyTorch has functions."""
    plan = fitted.plan
    outside = bool(plan.nodes_of(Kind.FUNCTION))
    for node in plan.nodes_of(Kind.NEURON):
        function, layer = plan.telescoped(node), fitted.layers[plan.roles[node].name]
        between = None if function is None else telescoped(layer.neuron, function)
        outside |= function is not None and (between is None or not between.firing.inside)
    return (1 + FLOAT) / 2 if outside else 1


def fits_tables(images: int, planes: int) -> bool:
    """True where sums can be looked up: a register holds the images, and planes of bits the spikes."""
    return 0 < images <= VECTOR and planes > 0 and has_tables() and has_synapses()


def by_rule(fitted: Fitted, images: Tensor, chunk: int, precision: Precision) -> Schedule:
    """A schedule that is good on most machines: the spikes of a layer stay in cache.

    Args:
        fitted: what runs.
        images: the whole batch [B, C, H, W].
        chunk: time steps that go through a layer together.
        precision: of the weights.
    """
    if not len(images):
        return Schedule(1, chunk, BYTES)
    planes = 0 if _mixes(fitted) else planes_for(fitted.neurons)
    spikes = largest_layer(fitted.plan, images) * chunk  # of one image
    lanes = VECTOR
    while lanes > 4 and lanes * spikes * _INDEX_BYTES > CACHE_BYTES:
        lanes //= 2
    if uses_tables(min(lanes, len(images)), chunk, precision, planes):
        return Schedule(lanes, chunk, TABLES)
    budget = CACHE_BYTES * (2 if has_tiles() else 1)  # layers are done so fast that calling them counts
    together = images_in_cache(fitted.plan, images, chunk, value_bytes(fitted), budget)
    together = evenly(len(images), together)
    tables = uses_tables(min(together, len(images)), chunk, precision, planes)
    return Schedule(together, chunk, TABLES if tables else BYTES)


def candidates(rule: Schedule, batch: int, longest: int, planes: int) -> list[Schedule]:
    """Schedules that are worth a try: the rule's, its neighbours, and the other kernel.

    Args:
        rule: what `by_rule` says.
        batch: images there are.
        longest: most time steps that may go through a layer together.
        planes: of bits that hold the spikes of one step, see `planes_for`.
    """

    def possible(schedule: Schedule) -> Schedule:
        tables = schedule.kernel == TABLES and fits_tables(schedule.images, planes)
        return replace(schedule, kernel=TABLES if tables else BYTES)

    found = [rule, *map(possible, neighbours(rule, batch, longest)[1:])]
    if rule.kernel == TABLES:
        found.append(replace(rule, kernel=BYTES))
    elif fits_tables(min(rule.images, batch), planes):
        found.append(replace(rule, kernel=TABLES))
    return list(dict.fromkeys(found))
