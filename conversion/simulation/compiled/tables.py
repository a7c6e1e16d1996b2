"""Run layers in the table kernel: prepare weights, pass tensors; see native/tables.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.simulation.compiled.lanes import (
    CHANNELS,
    LaneCurrents,
    PackedSpikes,
    empty_bits,
    library,
    planes_of,
)
from conversion.simulation.compiled.layers import Synapses
from conversion.simulation.compiled.native import table_group
from conversion.simulation.compiled.native.structures import TableAddend, TableLayer
from conversion.simulation.compiled.population import Population
from conversion.simulation.fused.fixed_point import GROUP, blocks, grouped, is_wide


@dataclass(frozen=True)
class Tables:
    """A layer with weights, prepared for the table kernel."""

    synapses: Synapses
    weights: Tensor  # int32 [C', taps, groups, group]
    blocks: Tensor  # int64 [count, 4]
    group: int
    run: int  # groups, see `digit_run`; 0 where sums have 16 bits
    spread: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def by_lane(self, lanes: int) -> tuple[Tensor, Tensor]:
        """Scale and bias, [C' * lanes] each."""
        if lanes not in self.spread:
            fixed = self.synapses.fixed
            self.spread[lanes] = (
                fixed.scale.repeat_interleave(lanes),
                fixed.bias.repeat_interleave(lanes),
            )
        return self.spread[lanes]


def tables_of(synapses: Synapses) -> Tables:
    """Prepare packed synapses for the table kernel too."""
    fixed = synapses.fixed
    wide = is_wide(fixed.precision)
    group = table_group(wide)
    weights = grouped(fixed.weights, group).contiguous()
    taps, groups = weights.shape[1:3]
    if wide:  # blocks only keep things in cache
        return Tables(synapses, weights, torch.tensor(blocks(taps, groups)), group, digit_run(weights))
    inputs = fixed.weights.shape[1]
    parts = torch.tensor(blocks(taps, -(-inputs // GROUP)))  # weights are such that their sums fit 16 bits
    parts[:, 2:] = (parts[:, 2:] * (GROUP // group)).clamp(max=groups)
    return Tables(synapses, weights, parts, group, 0)


def digit_run(weights: Tensor) -> int:
    """Most neighbouring groups whose sums of digits fit 16 bits, whichever spikes arrive.

    Digits are those of native/lookup_256.h: weight = 4096 * high + low, low in [-2048, 2047].

    Args:
        weights: int32 [C', taps, groups, group], of at most 24 bits.
    """
    high = (weights + 2048) >> 12
    digits = torch.stack([high, weights - (high << 12)])
    sums = torch.stack([digits.clamp(min=0).sum(-1), -digits.clamp(max=0).sum(-1)])
    until = F.pad(sums.cumsum(-1), (1, 0))  # of all groups before
    run, groups = 1, weights.shape[2]
    while run < groups and int((until[..., run + 1 :] - until[..., : -run - 1]).amax()) < 2**15:
        run += 1
    return run


@dataclass(frozen=True)
class LaneSummand:
    """Something added to the current, multiplied by `scale` [C'] into thresholds."""

    value: PackedSpikes | LaneCurrents
    scale: Tensor


@dataclass(frozen=True)
class LaneNeurons:
    """What fires."""

    population: Population  # states [C' / 4, H', W', 4, lanes]
    spike_value: Tensor  # value of one spike


def run_tables(
    shape: Sequence[int],
    steps: int,
    lanes: int,
    drive: tuple[PackedSpikes, Tables] | None,
    summands: Sequence[LaneSummand],
    neurons: LaneNeurons | None,
    bias: Tensor | None = None,
) -> PackedSpikes | LaneCurrents:
    """Run one layer for a chunk of time.

    Args:
        shape: of the output in one step, [B, C', H', W'] or [B, C'].
        steps: T.
        lanes: of all signals and membranes.
        drive: spikes and the weights that they reach; None for a layer that only sums.
        summands: what else flows in, added in this order after bias.
        neurons: fire these; None for plain currents.
        bias: more of it, in thresholds: [T, C'], or [1, C'] for the same in every step.

    Returns:
        Spikes, or currents over T steps.
    """
    images, outputs, *sides = shape
    height, width = sides or (1, 1)
    keep: list[Tensor] = []  # until the kernel returns

    def pointer(tensor: Tensor) -> int:
        keep.append(tensor)
        return tensor.data_ptr()

    layer = TableLayer(steps=steps, images=lanes, out_height=height, out_width=width, outputs=outputs)
    layer.vectors = -(-steps * lanes // 32)
    if drive is None:
        layer.bias = layer.scale = pointer(torch.zeros(outputs * lanes))
    else:
        source, tables = drive
        layer.index = pointer(source.index(tables.group))
        layer.planes, layer.plane_weights[: len(source.weights)] = len(source.weights), source.weights
        layer.height, layer.width = source.shape[2:] or (1, 1)
        layer.groups, layer.wide = tables.weights.shape[2], int(tables.run > 0)
        layer.weights, layer.blocks = pointer(tables.weights), pointer(tables.blocks)
        layer.block_count, layer.run = len(tables.blocks), tables.run
        layer.scale, layer.bias = (pointer(tensor) for tensor in tables.by_lane(lanes))
        for name, size in tables.synapses.geometry.items():
            setattr(layer, name, size)
    if bias is not None:
        own = 0 if drive is None else drive[1].synapses.fixed.bias
        biases = (own + bias).expand(len(bias), outputs).repeat_interleave(lanes, 1)
        layer.bias, layer.bias_step = pointer(biases), outputs * lanes if len(bias) > 1 else 0
    layer.addends = len(summands)
    row = CHANNELS * lanes
    for index, summand in enumerate(summands):
        value = summand.value
        scale = pointer(summand.scale.repeat_interleave(lanes))
        step = row if value.steps > 1 or steps == 1 else 0
        if isinstance(value, PackedSpikes):
            pixel = len(value.weights) * value.steps * row
            add = TableAddend(pointer(value.bits), scale, step, pixel, len(value.weights))
            add.weights[: len(value.weights)] = value.weights
        else:
            add = TableAddend(pointer(value.values), scale, step, value.steps * row)
        layer.add[index] = add
    result: PackedSpikes | LaneCurrents
    if neurons is None:
        result = LaneCurrents(
            torch.empty(outputs // CHANNELS, height, width, steps, CHANNELS, lanes), images, len(shape)
        )
        layer.currents = pointer(result.values)
    else:
        firing = neurons.population.firing
        weights = planes_of(firing.most, -firing.back)
        bits = empty_bits(len(weights), steps, shape, lanes)
        result = PackedSpikes(bits, steps, neurons.spike_value, weights, images, lanes, len(shape))
        neurons.population.enter(layer.neurons, steps)
        layer.out_planes, layer.fired = len(weights), pointer(bits)
    library().run_tables(ctypes.byref(layer), torch.get_num_threads())
    return result
