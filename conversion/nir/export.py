"""Export a converted network to NIR, the intermediate representation that neuromorphic tools share.

    graph = snn.to_nir("network.nir", accept_reset_to_value=True)

One NIR node stands for one layer. The value of a spike (the threshold) is folded into the weights
that read it; a Scale node multiplies by it where something else does. Values that meet in a node are
added, which is how NIR writes residual connections. One time step is dt = 1 with r = 1, the image
is presented in every step, and the answer is the mean of the output over time.

NIR's IF node falls to a value when it fires; ours loses one threshold and keeps the rest. Read
literally, an exported graph therefore loses charge. It is written only for a caller who accepts
that, and its metadata states the rule that the network was converted for, so that a simulator with
soft reset can follow it. Initial membrane potentials, which NIR does not know either, stand in the
metadata of each IF node as "v_initial", and the graph's metadata give their share of the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from conversion.errors import NirExportError
from conversion.graph.operations import Kind
from conversion.neurons import Neuron
from conversion.nir.layers import (
    ExportRefusal,
    average_window,
    convolution_of,
    factor_of,
    is_identity,
    linear_of,
)
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan

Wire = dict[str, Tensor]  # NIR nodes whose outputs are added, each times a factor


def export(
    plan: Plan,
    layers: Mapping[str, SpikingLayer],
    path: str | Path | None = None,
    accept_reset_to_value: bool = False,
) -> Any:
    """NIR graph of a converted network, for images of the size it was calibrated with.

    Args:
        plan: the converted network.
        layers: fitted neuron layers by name.
        path: file to write, or None.
        accept_reset_to_value: write neurons with soft reset as NIR's IF, which resets to a value.

    Returns:
        The `nir.NIRGraph`.

    Raises:
        NirExportError: lists everything that NIR cannot express.
        ImportError: the package nir is not installed.
    """
    try:
        import nir
    except ImportError as error:
        raise ImportError("NIR export needs the package nir: pip install 'spikemark[nir]'") from error
    exporter = _Exporter(nir, plan, layers, accept_reset_to_value)
    graph = exporter.run()
    if path is not None:
        nir.write(str(path), graph)
    return graph


class _Exporter:
    def __init__(
        self, nir: Any, plan: Plan, layers: Mapping[str, SpikingLayer], accept_reset_to_value: bool
    ) -> None:
        self._nir = nir
        self._plan = plan
        self._layers = layers
        self._accept = accept_reset_to_value
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        self._problems: list[str] = []

    def run(self) -> Any:
        self._check_neurons()
        wires: dict[fx.Node, Wire | None] = {}  # None: cannot be expressed, and listed
        for node in self._plan.captured.graph.nodes:
            if node.op == "placeholder":
                shape = np.array(self._shape(node))
                wires[node] = self._add("input", self._nir.Input(input_type=shape), {})
            elif node.op == "output":
                self._output(node.args[0], wires)
            elif node in self._plan.roles and self._plan.roles[node].kind is not Kind.SHAPE:
                wires[node] = self._visit(node, wires)
        if self._problems:
            raise NirExportError(self._problems)
        metadata = {
            "dt": 1.0,
            "input": "the image in every step",
            "output": "mean over time",
            "fires": "v >= v_threshold",
            "reset": "v - v_threshold; NIR's v_reset is not what the network was converted for",
            "v_initial": float(self._plan.method.initial.value),  # in thresholds
        }
        return self._nir.NIRGraph(self._nodes, self._edges, metadata=metadata)

    def _check_neurons(self) -> None:
        neuron = self._plan.method.neuron
        if not self._plan.nodes_of(Kind.NEURON):
            return
        if not isinstance(neuron, Neuron) or not neuron.is_integrate_and_fire:
            self._problems.append(
                f"neurons '{neuron.name}' (alphabet {neuron.alphabet}): NIR's IF sends one spike at most"
            )
        else:
            others = [
                f"'{name}' ('{layer.neuron.name}')"
                for name, layer in self._layers.items()
                if not layer.neuron.is_integrate_and_fire
            ]
            if others:
                self._problems.append(f"fitted neurons of layers {', '.join(others)}: NIR's IF is simpler")
        if self._plan.method.initial.steps:
            self._problems.append(
                f"initial '{self._plan.method.initial.name}': NIR has no place for steps before the read-out"
            )
        shifted = [name for name, layer in self._layers.items() if layer.offset is not None]
        if shifted:
            self._problems.append(
                f"a constant current of their own in neurons {', '.join(shifted)}: NIR's IF has none"
            )
        if not self._accept:
            self._problems.append(
                "soft reset: NIR's IF resets to a value; pass accept_reset_to_value=True to export it as that"
            )

    def _visit(self, node: fx.Node, wires: Mapping[fx.Node, Wire | None]) -> Wire | None:
        role = self._plan.roles[node]
        try:
            if role.kind is Kind.SUM:
                return self._sum(node, wires)
            if role.kind in (Kind.POOLING, Kind.UNPOOLING):
                raise ExportRefusal("NIR has no max pooling; train with average pooling or strides")
            source = next(source for source in node.all_input_nodes if source in wires)
            return self._translate(node, source, wires[source])
        except ExportRefusal as refusal:
            self._problems.append(f"{role.name} ({role.operation}): {refusal}")
            return None

    def _translate(self, node: fx.Node, source: fx.Node, wire: Wire | None) -> Wire | None:
        """One operation on one signal; refuses before it reads the wire, so that errors list all."""
        captured, role = self._plan.captured, self._plan.roles[node]
        shape, size = self._shape(node), self._shape(source)
        if role.kind is Kind.NEURON:
            return None if wire is None else self._neuron(node, role.name, wire)
        if role.kind is Kind.WEIGHTED and (linear := linear_of(captured, node, size)) is not None:
            return None if wire is None else self._linear(role.name, *linear, wire, size)
        if role.kind is Kind.WEIGHTED:
            settings = convolution_of(captured, node)
            return None if wire is None else self._convolution(role.name, settings, wire, size)
        if role.kind is Kind.SCALE:
            factor = factor_of(captured, node)
            return None if wire is None else {name: value * factor for name, value in wire.items()}
        if role.kind is Kind.SPREAD:
            window = average_window(captured, node, size, shape)
            pooled = None if wire is None else self._average(role.name, window, wire, size)
            flat = len(shape) == 1
            return self._flatten(role.name, pooled, (size[0], 1, 1)) if flat and pooled else pooled
        if is_identity(captured, node):
            return wire
        if len(shape) == 1 and shape[0] == int(np.prod(size)) and _keeps_order(captured, node):
            return None if wire is None else self._flatten(role.name, wire, size)
        raise ExportRefusal("NIR has no node that moves, repeats, pads or joins values")

    def _neuron(self, node: fx.Node, name: str, wire: Wire) -> Wire:
        shape = self._shape(node)
        layer = self._layers[name]
        threshold = layer.threshold[0]
        full = _array(threshold.expand(shape))
        initial = _array(layer.initial[0].expand(shape))
        neuron = self._nir.IF(
            r=np.ones_like(full),
            v_threshold=full,
            metadata={"v_initial": initial * full} if initial.any() else {},
        )
        (spikes,) = self._add(name, neuron, self._multiplied(wire, shape))
        return {spikes: threshold}

    def _linear(
        self, name: str, weight: Tensor, bias: Tensor | None, wire: Wire, size: tuple[int, ...]
    ) -> Wire:
        names, factor = self._with_common_factor(wire, size)
        folded = _array(weight * factor)
        if bias is None:
            return self._add(name, self._nir.Linear(weight=folded), names)
        return self._add(name, self._nir.Affine(weight=folded, bias=_array(bias)), names)

    def _convolution(self, name: str, settings: dict[str, Any], wire: Wire, size: tuple[int, ...]) -> Wire:
        names, factor = self._with_common_factor(wire, size)
        weight = _array(settings["weight"] * factor)
        bias = settings["bias"]
        conv = self._nir.Conv2d(
            input_shape=size[1:],
            weight=weight,
            stride=settings["stride"],
            padding=settings["padding"],
            dilation=settings["dilation"],
            groups=1,
            bias=np.zeros(len(weight), weight.dtype) if bias is None else _array(bias),
        )
        return self._add(name, conv, names)

    def _average(self, name: str, window: dict[str, Any], wire: Wire, size: tuple[int, ...]) -> Wire:
        names, factor = self._with_common_factor(wire, size)
        pool = self._nir.AvgPool2d(**{key: np.array(value) for key, value in window.items()})
        return dict.fromkeys(self._add(name, pool, names), factor)

    def _flatten(self, name: str, wire: Wire, size: tuple[int, ...]) -> Wire:
        if len(size) == 1:
            return wire
        names, factor = self._with_common_factor(wire, size)
        node = self._nir.Flatten(input_type={"input": np.array(size)}, start_dim=0, end_dim=-1)
        flat = factor if factor.numel() == 1 else factor.expand(size).flatten()
        return dict.fromkeys(self._add(f"{name}_flat", node, names), flat.reshape(-1))

    def _sum(self, node: fx.Node, wires: Mapping[fx.Node, Wire | None]) -> Wire | None:
        parts = [part for part in node.args if isinstance(part, fx.Node) and part in wires]
        if len(parts) != 2 or node.kwargs:
            raise ExportRefusal("only the sum or difference of two signals can be written as edges that meet")
        if any(self._shape(part) != self._shape(node) for part in parts):
            raise ExportRefusal("the shapes of the two signals differ")
        first, second = wires[parts[0]], wires[parts[1]]
        if first is None or second is None:
            return None
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        sign = -1.0 if "sub" in name else 1.0
        total = dict(first)
        for source, factor in second.items():
            total[source] = total[source] + sign * factor if source in total else sign * factor
        return total

    def _output(self, value: Any, wires: Mapping[fx.Node, Wire | None]) -> None:
        if not isinstance(value, fx.Node):
            self._problems.append("output: only one tensor can be the output of an exported graph")
            return
        wire = wires.get(value)
        if wire is not None:
            shape = self._shape(value)
            names = self._multiplied(wire, shape)
            self._add("output", self._nir.Output(output_type=np.array(shape)), names)

    def _with_common_factor(self, wire: Wire, size: tuple[int, ...]) -> tuple[Wire, Tensor]:
        """The wire, and one factor per channel that all its parts share and the next node can take."""
        first, *others = wire.values()
        if all(other.shape == first.shape and torch.equal(other, first) for other in others):
            return wire, first
        return self._multiplied(wire, size), torch.ones((1,) * len(size), dtype=first.dtype)

    def _multiplied(self, wire: Wire, shape: tuple[int, ...]) -> Wire:
        """The wire with every factor other than 1 made a Scale node."""
        done: Wire = {}
        for source, factor in wire.items():
            if bool((factor == 1).all()):
                done[source] = factor
                continue
            scale = self._nir.Scale(scale=_array(factor.expand(shape)))
            done |= self._add(f"{source}_scale", scale, {source: factor})
        return done

    def _add(self, name: str, node: Any, sources: Wire) -> Wire:
        """A new node behind the sources, whose factors it has taken."""
        clean = name.replace(".", "_").replace("#", "_")
        unique, n = clean, 2
        while unique in self._nodes:
            unique, n = f"{clean}_{n}", n + 1
        self._nodes[unique] = node
        self._edges += [(source, unique) for source in sources]
        return {unique: torch.ones(())}

    def _shape(self, node: fx.Node) -> tuple[int, ...]:
        return tuple(self._plan.shapes[node][1:])


def _keeps_order(captured: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(captured.get_submodule(str(node.target)), nn.Flatten)
    return node.target in ("view", "reshape", "flatten", torch.flatten, torch.reshape)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
