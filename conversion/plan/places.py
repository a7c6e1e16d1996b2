"""Value of one spike at every place, followed through operations that move spikes about.

A channel's spikes have one value; an operation that cuts, shuffles or joins channels moves these values with
them. It is run once on a map that holds at every place of one image what a spike there stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.nodes import operation_of, shape_answer
from conversion.graph.operations import Kind
from conversion.plan.plan import Plan
from conversion.signals.signals import map_structure

_FAILURES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)


class UnknownValueError(Exception):
    """Something that an operation reads has no known value of spikes."""


class Places:
    """Maps of one image, [1, ...], 0 where no spike can come, such as a border of zeros.

    Args:
        plan: of the network.
        table: value of one spike on every wire before, [1, C, 1, ...] or [1, 1, ...]; it grows meanwhile.
    """

    def __init__(self, plan: Plan, table: Mapping[fx.Node, Tensor | None]) -> None:
        self._plan = plan
        self._table = table
        self._maps: dict[fx.Node, Any] = {}
        self._numbers: dict[fx.Node, Any] = {}

    def after(self, node: fx.Node) -> Any:
        """Values of spikes behind an operation that moves them, in the structure of its results.

        Each tensor has as many axes as the result, of size 1 where values do not differ along them. None
        where values are unknown, differ between images, or are none of those that arrive: numbers that are
        written among spikes.
        """
        if self._plan.roles[node].moved:
            return None
        try:
            args, kwargs = fx.map_arg((node.args, node.kwargs), self._operand)
            with torch.no_grad():
                found = operation_of(self._plan.captured, node)(*args, **kwargs)
            self._maps[node] = found
            arriving = [places for places in _tensors_in([args, kwargs]) if places.is_floating_point()]
            known = torch.cat(
                [torch.zeros_like(arriving[0].flatten()[:1]), *(each.unique() for each in arriving)]
            )
            if not all(bool(torch.isin(places, known).all()) for places in _tensors_in(found)):
                raise UnknownValueError
            return map_structure(_reduced, Tensor, found)
        except (UnknownValueError, *_FAILURES):
            self._maps.pop(node, None)
            return None

    def _operand(self, source: fx.Node) -> Any:
        if source in self._maps:
            return self._maps[source]
        role, value = self._plan.roles.get(source), self._table.get(source)
        if role is None or role.kind is Kind.SHAPE:
            return self._number(source)
        shape = self._plan.shapes.get(source)
        if value is None or shape is None:
            raise UnknownValueError
        value = value.detach()
        if value.numel() == 1:
            value = value.reshape([1] * len(shape))
        return value.expand(1, *shape[1:])

    def _number(self, node: fx.Node) -> Any:
        """A number that is read off shapes, for one image."""
        if node not in self._numbers:
            role = self._plan.roles.get(node)
            if role is not None:
                (source,) = node.all_input_nodes
                shape = torch.Size((1, *self._plan.shapes[source][1:]))
                like = torch.empty(shape, device="meta")
                self._numbers[node] = shape_answer(node, shape, node.args[1:], dict(node.kwargs), like)
            elif node.op in ("placeholder", "get_attr"):
                raise UnknownValueError
            else:
                args, kwargs = fx.map_arg((node.args, node.kwargs), self._number)
                self._numbers[node] = operation_of(self._plan.captured, node)(*args, **kwargs)
        return self._numbers[node]


def _tensors_in(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_structure(found.append, Tensor, values)
    return found


def _reduced(places: Tensor) -> Tensor:
    """A map with axes of size 1 where it says the same along them, wherever it says something."""
    for axis in range(places.ndim):
        if places.shape[axis] > 1:
            largest = places.amax(axis, keepdim=True)
            if bool(((places == largest) | (places == 0)).all()):
                places = largest
    if places.shape[0] != 1:
        raise UnknownValueError
    return places.masked_fill(places == 0, 1.0)
