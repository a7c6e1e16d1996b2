"""Run layers in the compiled kernel: pack weights, pass tensors, account for spikes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.signals.signals import Signal, Spikes
from conversion.simulation.backend import Precision
from conversion.simulation.compiled.buffers import Buffers
from conversion.simulation.compiled.native import byte_lanes, has_tiles, kernel
from conversion.simulation.compiled.native.structures import CHANNEL_MULTIPLE, Addend, LayerJob
from conversion.simulation.compiled.population import Population
from conversion.simulation.fused.firing import MOST_IN_BYTES
from conversion.simulation.fused.fixed_point import WEIGHT_BYTES, FixedPoint, fixed_point
from conversion.simulation.fused.fusion import is_depthwise


@dataclass(frozen=True)
class Synapses:
    """A layer with weights, packed for the kernel.

    Weights are in units of the neuron's threshold per incoming spike, w * spike_value / threshold, so that
    neither spikes nor membranes need scaling; in fixed point with one scale per output channel.
    """

    fixed: FixedPoint
    weights: Tensor  # int8, see `_packed` and `_packed_in_tiles`; int32 of a depthwise layer
    shift: Tensor  # int32 [kernel_h, C'], what makes up for 128 more spikes of every input, modulo 2^32
    digits: int  # bytes of a weight
    vectors: int
    depthwise: bool  # weights are int32 [kernel_h, kernel_w, C'], one filter a channel
    tiled: bool  # weights are in tiles, for the processor's matrix unit
    largest: int  # most spikes of one neuron in one step, of either sign
    inputs: int  # channels that spikes have in memory; beyond the layer's own, none has a weight
    outputs: int  # channels of the layer; beyond them, silent ones fill the last register
    groups: int  # of channels that do not meet; neighbours are joined until each fills registers
    whole: bool  # every output reads all inputs: sums can be looked up as well
    geometry: dict[str, int]

    def output_shape(self, shape: Sequence[int]) -> list[int]:
        """Shape [B, C', H', W'], [B, C'] or [B, L, C'] of the output for an input of this shape."""
        if len(shape) == 3:
            return [*shape[:2], self.outputs]
        g = self.geometry
        sides = [
            (n + 2 * g[f"pad_{a}"] - g[f"dilation_{a}"] * (g[f"kernel_{a}"] - 1) - 1) // g[f"stride_{a}"] + 1
            for n, a in zip(shape[2:], "hw", strict=False)
        ]
        return [shape[0], self.outputs, *sides]


def pack(
    module: nn.Module,
    spike_value: Tensor,
    threshold: Tensor,
    precision: Precision,
    most: int = 1,
    least: int = 0,
) -> Synapses:
    """Pack a Conv2d (with any groups, zero padding) or Linear layer.

    Args:
        module: the layer. Outputs, and inputs where they fill no registers, are filled up to a multiple of
            CHANNEL_MULTIPLE.
        spike_value: value of one incoming spike, [1, C, ...] or [1, 1, ...].
        threshold: of the neurons it drives, [1, C', ...] or [1, 1, ...]; 1 for plain currents.
        precision: how fine weights are, see `conversion.simulation.fused.fixed_point`.
        most: most spikes of one neuron in one step.
        least: fewest; negative where spikes are taken back.
    """
    fixed = fixed_point(module, spike_value, threshold, precision, most, least)
    given, depthwise = getattr(module, "groups", 1), is_depthwise(module)
    groups = 1 if depthwise else given
    if groups > 1:
        fixed, groups = _joined(fixed, groups)
    real, own = len(fixed.bias), fixed.weights.shape[1]
    fixed = _filled(fixed, filled(real) - real)
    fills = groups == 1 and not depthwise and own % (CHANNEL_MULTIPLE if has_tiles() else 4) != 0
    more = filled(own) - own if fills else 0
    inputs = filled(real) if depthwise else (own + more) * groups
    geometry = {"kernel_h": fixed.weights.shape[2], "kernel_w": fixed.weights.shape[3]}
    for name, short, default in (("stride", "stride", 1), ("padding", "pad", 0), ("dilation", "dilation", 1)):
        pair = getattr(module, name, (default, default))
        geometry |= {f"{short}_h": pair[0], f"{short}_w": pair[1]}
    outputs, digits, tiled = len(fixed.bias), WEIGHT_BYTES[precision], has_tiles()
    lanes = CHANNEL_MULTIPLE if tiled else byte_lanes()
    # Two digits fill the four sums that a matrix unit adds up at once, as do two vectors of one digit.
    vectors = 2 if outputs // groups % (2 * lanes) == 0 and not (tiled and digits == 2) else 1
    by_tap = F.pad(fixed.weights.permute(2, 3, 1, 0), (0, 0, 0, more))
    if depthwise:
        packed, tiled = by_tap[:, :, 0].contiguous(), False
    elif tiled:
        packed = _packed_in_tiles(by_tap, digits, vectors, joined=geometry["dilation_w"] == 1)
    else:
        packed = _packed(by_tap, digits, vectors, lanes)
    shift = (-128 * fixed.weights.long().sum((1, 3))).T.to(torch.int32).contiguous()
    largest, whole = max(most, -least), given == 1 and own % 4 == 0
    kind, sizes = (depthwise, tiled, largest), (inputs, real, groups)
    return Synapses(fixed, packed, shift, digits, vectors, *kind, *sizes, whole, geometry)


def _joined(fixed: FixedPoint, groups: int) -> tuple[FixedPoint, int]:
    """The same with neighbouring groups joined, until outputs and inputs of each fill registers.

    Weights [C', C / groups, ...] get more inputs, of no weight. Where no number of groups fits, all are
    joined.
    """
    outputs, inputs = fixed.weights.shape[0] // groups, fixed.weights.shape[1]
    sizes = (size for size in range(1, groups) if groups % size == 0)
    fits = (n for n in sizes if outputs * n % CHANNEL_MULTIPLE == 0 and inputs * n % 4 == 0)
    together = next(fits, groups)
    apart = fixed.weights.view(groups // together, together, outputs, inputs, *fixed.weights.shape[2:])
    joined = apart.new_zeros(*apart.shape[:3], together, *apart.shape[3:])
    for own in range(together):
        joined[:, own, :, own] = apart[:, own]
    weights = joined.flatten(3, 4).flatten(0, 2)
    return replace(fixed, weights=weights.contiguous()), groups // together


def filled(channels: int) -> int:
    """Channels that fill whole registers: the next multiple of CHANNEL_MULTIPLE."""
    return channels + -channels % CHANNEL_MULTIPLE


def _filled(fixed: FixedPoint, more: int) -> FixedPoint:
    """The same with some more output channels, of no weight."""
    if not more:
        return fixed
    weights = F.pad(fixed.weights, (0, 0, 0, 0, 0, 0, 0, more))
    scale, bias = F.pad(fixed.scale, (0, more), value=1.0), F.pad(fixed.bias, (0, more))
    return replace(fixed, weights=weights.contiguous(), scale=scale.contiguous(), bias=bias.contiguous())


def _packed(weights: Tensor, digits: int, vectors: int, lanes: int) -> Tensor:
    """Weights [kernel_h, kernel_w, C, C'] as [blocks, all inputs / 4, digits, vectors, lanes, 4]."""
    outputs = weights.shape[-1]
    split = torch.stack(_digits(weights.reshape(-1, outputs), digits))
    shaped = split.view(digits, -1, 4, outputs // (lanes * vectors), vectors, lanes)
    return shaped.permute(3, 1, 0, 4, 5, 2).contiguous()


def _packed_in_tiles(weights: Tensor, digits: int, vectors: int, joined: bool) -> Tensor:
    """Weights [kernel_h, kernel_w, C, C'] as tiles [blocks, entries, vectors, digits, 16, 16, 4].

    An entry holds up to 64 inputs of one run, and zeros where the run ends: a run is a row of the filter
    where taps lie side by side (`joined`), else a single tap.
    """
    runs = weights.flatten(1, 2) if joined else weights.flatten(0, 1)
    runs = F.pad(runs, (0, 0, 0, -runs.shape[1] % 64))
    split = torch.stack(_digits(runs.flatten(0, 1), digits))
    shaped = split.view(digits, -1, 16, 4, runs.shape[-1] // (16 * vectors), vectors, 16)
    return shaped.permute(4, 1, 5, 0, 2, 6, 3).contiguous()


def _digits(numbers: Tensor, count: int) -> list[Tensor]:
    """Signed base-256 digits of integers, lowest first, each in [-128, 127]."""
    digits = []
    for _ in range(count):
        digit = (numbers + 128) % 256 - 128
        digits.append(digit.to(torch.int8))
        numbers = (numbers - digit) // 256
    return digits


@dataclass(frozen=True)
class Summand:
    """Something added to the current, multiplied by `scale` [C'] into thresholds."""

    value: Signal
    scale: Tensor


def run_layer(
    shape: Sequence[int],
    steps: int,
    drive: tuple[Spikes, Synapses] | None,
    summands: Sequence[Summand],
    neurons: Population | None,
    buffers: Buffers | None = None,
    bias: Tensor | None = None,
    value: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Run one layer for a chunk of time.

    Args:
        shape: of the output in one step, [B, C', H', W'], [B, C'] or, of tokens, [B, L, C'].
        steps: T.
        drive: spikes and the packed weights that they reach; None for a layer that only sums.
        summands: what else flows in.
        neurons: fire these, with states [B, H', W', C'], or average what arrives; None for plain currents.
        buffers: where memory of the result comes from; None for PyTorch's allocator.
        bias: more of it, in thresholds: [T, C'], or [1, C'] for the same in every step.
        value: of one spike, [C']; spikes are then written as what they stand for, in floats.

    Returns:
        Spikes (int8, or uint8 of neurons that send more than 127), what they stand for, currents or means
        (float32) [T * B, C', H', W'], and the events of spikes summed over time and images [C', H', W'].
    """
    library = kernel()
    assert library is not None
    images, real = shape[0], shape[-1] if len(shape) == 3 else shape[1]
    outputs = filled(real)
    more = (0, outputs - real)  # channels in memory alone: nobody reads what becomes of them
    height, width = {2: (1, 1), 3: (shape[1], 1), 4: tuple(shape[2:])}[len(shape)]
    keep: list[Tensor] = []  # tensors that the kernel points into

    def pointer(tensor: Tensor) -> int:
        keep.append(tensor)
        return tensor.data_ptr()

    layer = LayerJob(steps=steps, images=images, out_height=height, out_width=width, outputs=outputs)
    layer.vectors, layer.tiled = 1, int(has_tiles())
    own_bias = torch.zeros(outputs) if drive is None else drive[1].fixed.bias
    if bias is not None and bias.shape[-1] > 1:
        bias = F.pad(bias, more)
    biases = own_bias if bias is None else (own_bias + bias).contiguous()
    layer.bias, layer.bias_step = pointer(biases), outputs if bias is not None and len(bias) > 1 else 0
    if drive is not None:
        source, synapses = drive
        spikes = channels_last(source.counts, synapses.inputs)
        layer.spikes = pointer(spikes)
        layer.height, layer.width, layer.channels = spikes.shape[1:]
        layer.is_unsigned = int(source.counts.dtype is torch.uint8)
        layer.is_signed = int(source.signed and not layer.is_unsigned)
        layer.in_floats = int(synapses.fixed.in_floats)
        layer.weights, layer.scale = pointer(synapses.weights), pointer(synapses.fixed.scale)
        layer.shift = pointer(synapses.shift)
        layer.digits, layer.vectors = synapses.digits, synapses.vectors
        layer.largest = synapses.largest if layer.is_unsigned else min(synapses.largest, MOST_IN_BYTES)
        layer.groups = synapses.groups
        layer.depthwise, layer.tiled = int(synapses.depthwise), int(synapses.tiled)
        for name, size in synapses.geometry.items():
            setattr(layer, name, size)
    layer.addends = len(summands)
    for index, summand in enumerate(summands):
        signal = summand.value
        is_spikes = 0
        if isinstance(signal, Spikes):
            is_spikes = 2 if signal.counts.dtype is torch.uint8 else 1
        values = channels_last(signal.counts if isinstance(signal, Spikes) else signal.data.float(), outputs)
        one_step = images * height * width * outputs
        varies = signal.steps > 1 or steps == 1
        scale = pointer(F.pad(summand.scale, more).contiguous())
        layer.add[index] = Addend(pointer(values), scale, one_step if varies else 0, is_spikes)
    fires = neurons is not None and neurons.firing.fires
    kind = torch.float32
    if neurons is not None and fires and value is None:
        kind = torch.uint8 if neurons.firing.most > MOST_IN_BYTES else torch.int8
    result = (buffers or Buffers(0)).empty((steps * images, height, width, outputs), kind)
    counts = None
    if neurons is not None:
        neurons.enter(layer.neurons, steps)
    if not fires:
        layer.currents = pointer(result)
    else:
        counts = torch.zeros(height, width, outputs)
        layer.counts = pointer(counts)
        if value is None:
            layer.fired = pointer(result)
        else:
            layer.sent, layer.value = pointer(result), pointer(F.pad(value.expand(real), more).contiguous())
    library.run_layer(ctypes.byref(layer), torch.get_num_threads())
    result, counts = result[..., :real], counts[..., :real] if counts is not None else None
    if len(shape) == 2:
        return result[:, 0, 0], counts[0, 0] if counts is not None else None
    if len(shape) == 3:
        return result[:, :, 0], counts[:, 0] if counts is not None else None
    return result.permute(0, 3, 1, 2), counts.permute(2, 0, 1) if counts is not None else None


def channels_last(value: Tensor, channels: int) -> Tensor:
    """[N, C, H, W], [N, C] or tokens [N, L, C] as contiguous [N, H, W, channels].

    What lies beyond C channels may be anything: where a value has as much room in memory, it is not copied.
    """
    if value.ndim == 3:
        last = value[:, :, None, :]
    else:
        last = value[:, None, None, :] if value.ndim == 2 else value.permute(0, 2, 3, 1)
    images, height, width, own = last.shape
    if own == channels:
        return last.contiguous()
    strides = (height * width * channels, width * channels, channels, 1)
    sides = zip(last.shape, last.stride(), strides, strict=True)
    end = last.storage_offset() + images * strides[0]
    has_room = end * last.itemsize <= last.untyped_storage().nbytes()
    if has_room and all(size == 1 or found == wanted for size, found, wanted in sides):
        return last.as_strided((images, height, width, channels), strides)
    room = last.new_zeros(images, height, width, channels)
    room[..., :own] = last
    return room
