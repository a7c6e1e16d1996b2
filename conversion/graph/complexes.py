"""Complex numbers as pairs of real ones, where a signal is turned by constants.

Rotary places are often written so: pairs of features become complex numbers, are multiplied by constants of
size 1, and become pairs again. Written in real numbers, this is affine. Other complex signals have no role.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from conversion.graph.nodes import Adding

_PRODUCTS = (operator.mul, torch.mul, "mul")


def write_in_real_numbers(captured: fx.GraphModule, signals: set[fx.Node]) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        signals: values that depend on images; what is made of them here joins.
    """
    for node in list(captured.graph.nodes):
        if node.target is not torch.view_as_real or node.args[0] not in signals:
            continue
        pairs = _turned(node.args[0], signals)
        if pairs is not None:
            node.replace_all_uses_with(pairs)
            captured.graph.erase_node(node)


def _turned(value: Any, signals: set[fx.Node]) -> fx.Node | None:
    """Pairs [..., 2] of a complex value; None where it is made in another way than said above."""
    if value.target is torch.view_as_complex:
        pairs: fx.Node = value.args[0]
        return pairs
    if value.target not in _PRODUCTS or len(value.args) != 2:
        return None
    constants = [factor for factor in value.args if factor not in signals]
    if len(constants) != 1 or not isinstance(constants[0], fx.Node):
        return None
    (signal,) = (factor for factor in value.args if factor in signals)
    before = _turned(signal, signals)
    if before is None:
        return None
    add = Adding(value)
    one, two = (add.method("select", before, -1, part) for part in (0, 1))
    real, imaginary = (add.function(getattr, constants[0], name) for name in ("real", "imag"))

    def product(part: fx.Node, factor: fx.Node) -> fx.Node:
        return add.function(operator.mul, part, factor)

    first = add.function(operator.sub, product(one, real), product(two, imaginary))
    second = add.function(operator.add, product(one, imaginary), product(two, real))
    made = add.function(torch.stack, (first, second), -1)
    signals.update((one, two, first, second, made))
    return made
