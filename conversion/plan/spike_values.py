"""Value of one spike on every wire: which signals are whole numbers of spikes of one size."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from conversion.graph.operations import Kind
from conversion.plan.places import Places
from conversion.plan.plan import Plan


class SpikeValues(NamedTuple):
    """Values of single spikes.

    Attributes:
        table: value on every wire, [1, C, 1, ...] or [1, 1, ...]; None where spikes of different sizes mix,
            and where weights have been applied.
        moved: of operations that move spikes, values in the structure of their results, or one for all of
            them. They may differ along any axis but that of images.
    """

    table: dict[fx.Node, Tensor | None]
    moved: dict[fx.Node, Any]


def spike_values(plan: Plan, thresholds: dict[str, Tensor]) -> SpikeValues:
    """Values of single spikes, from the thresholds of the layers that send them."""
    table: dict[fx.Node, Tensor | None] = {}
    moved: dict[fx.Node, Any] = {}
    places = Places(plan, table)
    for node in plan.captured.graph.nodes:
        role = plan.roles.get(node)
        sources = [table.get(source) for source in node.all_input_nodes if source in table]
        if role is None:
            continue
        if role.kind is Kind.NEURON:
            in_order = role.axis == 1 or len(plan.shapes[node]) == 2  # the last axis is the second
            table[node] = thresholds[role.name] if in_order else None
        elif role.kind is Kind.UNPOOLING:
            values = node.args[0]
            table[node] = table.get(values) if isinstance(values, fx.Node) else None
        elif role.kind is Kind.POOLING:
            table[node] = sources[0] if sources else None
        elif role.kind is Kind.ROUTING:
            moved[node] = table[node] = _routed_value(plan, node, sources)
            if table[node] is None and not _pads_with_values(plan, node, _name_of(node)):
                moved[node] = places.after(node)
                table[node] = _by_channel(moved[node])
        else:
            table[node] = None
    return SpikeValues(table, {node: values for node, values in moved.items() if values is not None})


def _by_channel(values: Any) -> Tensor | None:
    """A value of spikes that differs between channels alone; None for others."""
    if not isinstance(values, Tensor) or values.ndim < 2 or values.numel() != values.shape[1]:
        return None
    return values


def _name_of(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _routed_value(plan: Plan, node: fx.Node, sources: list[Tensor | None]) -> Tensor | None:
    rank = len(plan.shapes.get(node, plan.shapes.get(node.all_input_nodes[0], torch.Size())))
    known = [_with_axes(spike_value, rank) for spike_value in sources if spike_value is not None]
    inputs = [source for source in node.all_input_nodes if not _is_size(plan, source)]
    if not known or len(known) < len(inputs):
        return None
    name = _name_of(node)
    if _pads_with_values(plan, node, name):
        return None
    if name in ("cat", "concat", "concatenate") and _joins_images(plan, node, inputs):
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if axis == 1 and all(spike_value.ndim == rank for spike_value in known):
            value_of = dict(zip(inputs, known, strict=True))
            parts: Any = node.args[0] if node.args else node.kwargs["tensors"]  # one may come twice
            wide = [(value_of[part], plan.shapes[part][1]) for part in parts]
            return torch.cat(
                [spike_value.expand(1, channels, *spike_value.shape[2:]) for spike_value, channels in wide], 1
            )
    if all(
        spike_value.numel() == 1 and (spike_value is known[0] or bool(spike_value == known[0]))
        for spike_value in known
    ):
        return known[0]
    same_channels = plan.shapes.get(node, ())[1:2] == plan.shapes.get(inputs[0], ())[1:2]
    keeps_channels = name in _CHANNEL_KEEPING
    if node.op == "call_module":
        keeps_channels = not isinstance(plan.captured.get_submodule(name), _CHANNEL_MIXING)
    if len(known) == 1 and same_channels and keeps_channels and known[0].ndim == len(plan.shapes[node]):
        return known[0]
    return None


def _joins_images(plan: Plan, node: fx.Node, inputs: list[fx.Node]) -> bool:
    """True where tensors are joined, one by one, and images stay in the first axis."""
    shapes = [plan.shapes.get(source) for source in inputs]
    return all(shape is not None and plan.shapes[node][0] == shape[0] for shape in shapes)


def _with_axes(spike_value: Tensor, rank: int) -> Tensor:
    """A value of spikes with `rank` axes, if it is the same for all channels, whose axes may change."""
    if spike_value.numel() != 1 or spike_value.ndim == rank or rank < 2:
        return spike_value
    return spike_value.reshape(1, 1, *[1] * (rank - 2))


def _is_size(plan: Plan, node: fx.Node) -> bool:
    """True for a number that is read off the shape of a value."""
    role = plan.roles.get(node)
    return role is not None and role.kind is Kind.SHAPE


def _pads_with_values(plan: Plan, node: fx.Node, name: str) -> bool:
    """True where a border of other values than 0 is put around spikes, or such a value among them."""
    if name == "written":
        return isinstance(node.args[2], int | float) and node.args[2] != 0
    if node.op == "call_module":
        return bool(getattr(plan.captured.get_submodule(name), "value", 0))
    value = node.kwargs.get("value", node.args[3] if len(node.args) > 3 else None)
    return name == "pad" and bool(value)


_CHANNEL_MIXING = (nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle, nn.Flatten, nn.Unflatten)
_CHANNEL_KEEPING = {"pad", "contiguous", "clone", "detach", "float", "dropout", "dropout2d"}
