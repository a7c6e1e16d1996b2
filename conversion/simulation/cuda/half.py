"""Layers with weights in half precision, for spikes: what this does to weights, and to their sums.

A spike is a small whole number and exact. A weight, times the value of a spike, is rounded to 11 significant
bits (float16) or 8 (bfloat16): by at most 2^-12 or 2^-9 of itself. Products are added in float32, and the
sum, one number a neuron and step, is rounded in the same way. Biases, thresholds and membranes stay float32,
and so does everything that no spikes reach, such as the first layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion.graph.operations import Kind
from conversion.plan.fitted import Fitted
from conversion.simulation.backend import HALVES, Precision
from conversion.simulation.cuda.signals import Currents, is_by_channel

# Largest whole number below which all are exact.
EXACT = {torch.float16: 2**11, torch.bfloat16: 2**8}
_LARGEST_SUM = 2.0**15  # float16 goes up to 65504
_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}


def half_of(precision: Precision) -> torch.dtype | None:
    """The type of this precision; None for float32."""
    return getattr(torch, precision) if precision in HALVES else None


@dataclass(frozen=True)
class HalfWeights:
    """A layer with weights in half precision; it gives `scale` times what `function` gives, plus `shift`.

    Attributes:
        function: (spikes, weight) -> output without bias.
        weight: half precision, times the value of a spike, divided by `scale`.
        scale: float32 [C'], a power of two for each output channel: no sum of spikes overflows.
        shift: float32 [C'], the bias; None for none.
        axis: of channels in the output, 1 or -1.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    scale: Tensor
    shift: Tensor | None
    axis: int

    def __call__(self, spikes: Tensor, steps: int) -> Currents:
        """Currents of spikes [T * B, C, ...]."""
        raw = self.function(spikes.to(self.weight.dtype), self.weight)
        return Currents(raw, steps, self.scale, self.shift, self.axis)


def half_weights(fitted: Fitted, node: fx.Node, dtype: torch.dtype, most: int) -> HalfWeights | None:
    """A layer in half precision; None where it is none, or where no spikes of one size reach it.

    Args:
        fitted: what runs.
        node: any operation.
        dtype: half precision.
        most: most spikes of one neuron in one step, of either sign.
    """
    plan = fitted.plan
    role = plan.roles.get(node)
    if role is None or role.kind is not Kind.WEIGHTED or node.op != "call_module" or role.moved:
        return None
    layer: Any = plan.captured.get_submodule(str(node.target))
    spike_value = fitted.spike_values.get(node.all_input_nodes[0])
    if spike_value is None:
        return None
    weight = layer.weight.detach().double() if isinstance(getattr(layer, "weight", None), Tensor) else None
    if type(layer) in _CONVOLUTIONS and layer.padding_mode == "zeros":
        settings = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
        function: Callable[..., Tensor] = partial(_CONVOLUTIONS[type(layer)], bias=None, **settings)
        inputs, groups, axis = layer.in_channels, layer.groups, 1
    elif type(layer) is nn.Linear and len(plan.shapes[node]) == 2:
        function, inputs, groups, axis = F.linear, layer.in_features, 1, 1
    else:
        return None
    if weight is None or not is_by_channel(spike_value, inputs, 1):
        return None
    values = spike_value.double().flatten().expand(inputs).view(groups, 1, -1, *[1] * (weight.ndim - 2))
    weight = (weight.unflatten(0, (groups, -1)) * values).flatten(0, 1)
    sums = weight.abs().flatten(1).sum(1) * most
    scale = torch.exp2((sums / _LARGEST_SUM).clamp(min=1e-30).log2().ceil())
    weight = (weight / scale.view(-1, *[1] * (weight.ndim - 1))).to(dtype)
    if weight.ndim == 4:
        weight = weight.contiguous(memory_format=torch.channels_last)
    shift = None if layer.bias is None else layer.bias.detach().float()
    return HalfWeights(function, weight, scale.float(), shift, axis)
