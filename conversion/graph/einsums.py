"""Sums of products as they are counted: two factors at a time, and a constant factor as a layer's weights.

An einsum of three signals is a product of two, times the third. An einsum of a signal and a constant is a
layer with weights: it becomes a product of matrices, around which axes move. nn.Bilinear is both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from conversion.graph.nodes import Adding

_EINSUM = (torch.einsum, torch.functional.einsum)


def write_out_sums(captured: fx.GraphModule, signals: set[fx.Node]) -> None:
    """Rewrite a graph in place.

    Args:
        captured: graph of a network.
        signals: values that depend on images; what is made of them here joins.
    """
    for node in list(captured.graph.nodes):
        if node.target in _EINSUM and isinstance(node.args[0], str):
            result = _summed(node, signals)
        else:
            result = _bilinear(captured, node)
        if result is not None and result is not node:
            node.replace_all_uses_with(result)
            captured.graph.erase_node(node)


def _summed(node: fx.Node, signals: set[fx.Node]) -> fx.Node | None:
    """What takes the place of an einsum; None: it stays."""
    given = node.args[1:]
    operands: list[Any] = (
        list(given[0]) if len(given) == 1 and isinstance(given[0], list | tuple) else [*given]
    )
    inputs, _, output = str(node.args[0]).replace(" ", "").partition("->")
    indices = inputs.split(",")
    if "." in inputs or len(operands) != len(indices) or not all(isinstance(o, fx.Node) for o in operands):
        return None
    add = Adding(node)
    while len(operands) > 2:
        rest = "".join(indices[2:]) + output
        between = "".join(index for index in dict.fromkeys(indices[0] + indices[1]) if index in rest)
        made = _product(add, indices[:2], operands[:2], between, signals)
        operands, indices = [made, *operands[2:]], [between, *indices[2:]]
    if len(operands) < 2:
        return None
    return _product(add, indices, operands, output, signals)


def _product(
    add: Adding, indices: list[str], operands: list[Any], output: str, signals: set[fx.Node]
) -> fx.Node:
    """Sum of products of two factors."""
    dynamic = [operand in signals for operand in operands]
    signal = 0 if dynamic[0] else 1
    if sum(dynamic) == 1:
        letters, constant = indices[1 - signal], operands[1 - signal]
        images = indices[signal][:1]
        if images in letters and images in output:  # as many constants as images: they are all the same
            constant = add.method("select", constant, letters.index(images), 0)
            letters = letters.replace(images, "")
        made = _weighted(add, indices[signal], operands[signal], letters, constant, output)
    else:
        made = add.function(torch.einsum, f"{indices[0]},{indices[1]}->{output}", *operands)
    if any(dynamic):
        signals.add(made)
    return made


def _weighted(add: Adding, x_at: str, x: fx.Node, w_at: str, w: fx.Node, output: str) -> fx.Node:
    """A signal times constants, summed over some axes, as a product of matrices."""
    x, x_at = _without(add, x, x_at, [i for i in x_at if i not in w_at + output])
    w, w_at = _without(add, w, w_at, [i for i in w_at if i not in x_at + output])
    alone = [i for i in x_at if i not in w_at]
    shared = [i for i in x_at if i in w_at and i in output]
    summed = [i for i in x_at if i in w_at and i not in output]
    made = [i for i in w_at if i not in x_at]
    sizes = [add.method("size", w, w_at.index(i)) for i in made]
    x = _ordered(add, x, x_at, [*alone, *shared, *summed])
    w = _ordered(add, w, w_at, [*shared, *summed, *made])
    w = _joined(add, w, len(shared), len(summed))
    w = _joined(add, w, len(shared) + 1, len(made))
    x = _joined(add, x, len(alone) + len(shared), len(summed))
    if shared:
        x = add.method("unsqueeze", x, -2)
    x = add.function(torch.matmul, x, w)
    if shared:
        x = add.method("squeeze", x, -2)
    if not made:
        x = add.method("squeeze", x, -1)
    elif len(made) > 1:
        x = add.method("unflatten", x, -1, tuple(sizes))
    return _ordered(add, x, [*alone, *shared, *made], list(output))


def _without(add: Adding, x: fx.Node, at: str, axes: list[str]) -> tuple[fx.Node, str]:
    """The sum over axes that stand nowhere else."""
    if not axes:
        return x, at
    return add.method("sum", x, [at.index(i) for i in axes]), "".join(i for i in at if i not in axes)


def _ordered(add: Adding, x: fx.Node, at: Any, wanted: list[str]) -> fx.Node:
    return x if list(at) == wanted else add.method("permute", x, *(list(at).index(i) for i in wanted))


def _joined(add: Adding, x: fx.Node, first: int, count: int) -> fx.Node:
    """Some axes as one; a new one of size 1 where there are none."""
    if not count:
        return add.method("unsqueeze", x, first)
    return x if count == 1 else add.method("flatten", x, first, first + count - 1)


def _bilinear(captured: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """One signal times weights, times the other signal."""
    if node.op == "call_module" and isinstance(captured.get_submodule(str(node.target)), nn.Bilinear):
        one, two = node.args
        add = Adding(node)
        weight = add.attribute(f"{node.target}.weight")
        has_bias = captured.get_submodule(str(node.target)).bias is not None
        bias: Any = add.attribute(f"{node.target}.bias") if has_bias else None
    elif node.target in (F.bilinear, torch.bilinear):
        names = ("input1", "input2", "weight", "bias")
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        one, two, weight, bias = (given.get(name) for name in names)  # type: ignore[assignment]
        add = Adding(node)
    else:
        return None
    sizes = tuple(add.method("size", weight, axis) for axis in (0, 2))
    matrix = add.method("flatten", add.method("permute", weight, 1, 0, 2), 1)
    rows = add.method("unflatten", add.function(torch.matmul, one, matrix), -1, sizes)
    result = add.method("squeeze", add.function(torch.matmul, rows, add.method("unsqueeze", two, -1)), -1)
    return result if bias is None else add.function(torch.add, result, bias)
