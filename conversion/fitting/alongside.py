"""The ANN beside the spiking network that is fitted: the activations that each layer should mean."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, fx

from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.plan.plan import Plan

MOST_KEPT = 256 * 2**20  # bytes of activations that are kept for the next T


class Alongside:
    """The ANN on some images, run as far as its values are asked for, with the weights as they are now.

    Activations of all layers are kept where they fit 256 MiB, so that fits for several T run the ANN once.

    Args:
        plan: captured network; copied.
        images: [B, ...].
    """

    def __init__(self, plan: Plan, images: Tensor) -> None:
        captured = copy.deepcopy(plan.captured)
        if images.ndim == 4:  # in which convolutions of few channels are several times as fast
            images = images.contiguous(memory_format=torch.channels_last)
            captured = captured.to(memory_format=torch.channels_last)
        self._captured, self._images = captured, images
        self._last_use = last_uses(captured.graph)
        neurons = plan.nodes_of(Kind.NEURON)
        values = sum(plan.shapes[node][1:].numel() for node in neurons)
        keeps = values * len(images) * images.element_size() <= MOST_KEPT
        self._neurons = {node.name for node in neurons} if keeps else set()
        self._activations: dict[str, Tensor] = {}
        self._restart()

    def at(self, node: fx.Node) -> Tensor:
        """Value of an operation of the plan, by its name; in the order of computation they cost one run."""
        if node.name in self._activations:
            return self._activations[node.name]
        if node.name not in self._present:
            if node.name in self._passed:
                self._restart()
            self._run_until(node.name)
        value: Tensor = self._interpreter.env[self._present[node.name]]
        if node.name in self._neurons:
            self._activations[node.name] = value
        return value

    def _restart(self) -> None:
        self._interpreter = fx.Interpreter(self._captured, garbage_collect_values=False)
        self._interpreter.args_iter = iter([self._images])
        self._waiting: Iterator[fx.Node] = iter(self._captured.graph.nodes)
        self._present: dict[str, fx.Node] = {}  # whose values are still there
        self._passed: set[str] = set()

    @torch.no_grad()
    def _run_until(self, name: str) -> None:
        env = self._interpreter.env
        for node in self._waiting:
            env[node] = self._interpreter.run_node(node)
            self._present[node.name] = node
            self._passed.add(node.name)
            for source in self._last_use.get(node, ()):
                env.pop(source, None)
                self._present.pop(source.name, None)
            if node.name == name:
                break
