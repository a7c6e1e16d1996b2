"""Where the images of a batch are in every value of a network.

The simulator folds time into the first axis, so it has to know which values hold image after image
there. Nearly all do. Some networks move the images to another axis for a while, as channel shuffles
through the batch axis do, and some make constants as large as the batch. The code does not show this
for certain, so the graph is run on two images, alone and together, and the values are compared.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph.activations import TrainedActivation
from conversion.graph.nodes import last_uses

_TOLERANCE = 1e-3  # of the largest value: batches of other sizes may round otherwise


@dataclass(frozen=True)
class Layout:
    """What is special about values of a graph.

    Attributes:
        moved: values that depend on images, and do not hold image after image in their first axis.
        batched: values that are the same for all images, and hold them one after the other for each.
        axes: of those in `moved` that hold image after image along another axis, that axis; never the last.
        constant: those in `moved` and in `batched` that are the same for all images.
    """

    moved: frozenset[fx.Node]
    batched: frozenset[fx.Node]
    axes: Mapping[fx.Node, int] = field(default_factory=dict)
    constant: frozenset[fx.Node] = frozenset()


def find_layout(captured: fx.GraphModule, images: Tensor) -> Layout:
    """Layout of every tensor in a graph.

    Args:
        captured: graph of a network.
        images: [B, ...]; two are used, or one and its negative.
    """
    original = captured
    if any(isinstance(module, TrainedActivation) for module in captured.modules()):
        captured, images = copy.deepcopy(captured).double(), images.double()  # no rounding across a step
    one = images[:1]
    other = images[1:2] if len(images) > 1 and not torch.equal(images[1:2], one) else -one
    moved: set[int] = set()
    batched: set[int] = set()
    constant: set[int] = set()
    axes: dict[int, int] = {}
    for index, (first, second, together) in enumerate(_side_by_side(captured, [one, other])):
        if not isinstance(together, Tensor):
            continue
        apart = torch.cat([first, second]) if first.ndim and first.shape[1:] == second.shape[1:] else None
        joins = apart is not None and _same(together, apart)
        if _same(first, second) and (joins or _same(together, first)):
            if together.shape != first.shape:
                batched.add(index)
                constant.add(index)
        elif not joins:
            moved.add(index)
            if _same(first, second) and together.shape != first.shape:  # else it depends on their number
                constant.add(index)
            axis = _axis_of_images(first, second, together)
            if axis is not None:
                axes[index] = axis

    ordered = list(original.graph.nodes)

    def nodes(indices: set[int]) -> frozenset[fx.Node]:
        return frozenset(ordered[index] for index in indices)

    at = {ordered[index]: axis for index, axis in axes.items()}
    return Layout(nodes(moved), nodes(batched), at, nodes(constant))


def _axis_of_images(first: Tensor, second: Tensor, together: Tensor) -> int | None:
    """The axis along which two images stand one after the other, if there is one."""
    if first.shape != second.shape or first.ndim != together.ndim:
        return None
    for axis in range(1, first.ndim - 1):
        if together.shape[axis] == 2 * first.shape[axis] and _same(
            together, torch.cat([first, second], axis)
        ):
            return axis
    return None


def _side_by_side(captured: fx.GraphModule, images: list[Tensor]) -> Iterator[tuple[Any, ...]]:
    """Value of each node for each image alone and for all of them together; none is kept."""
    batches = [*images, torch.cat(images)]
    runs = [fx.Interpreter(captured, garbage_collect_values=False) for _ in batches]
    for run, batch in zip(runs, batches, strict=True):
        run.args_iter = iter([batch.clone()])
    last_use = last_uses(captured.graph)
    with torch.no_grad():
        for node in captured.graph.nodes:
            if node.op == "output":
                return
            for run in runs:
                run.env[node] = run.run_node(node)
            yield tuple(run.env[node] for run in runs)
            for source in last_use.get(node, ()):
                for run in runs:
                    run.env.pop(source, None)


def _same(one: Tensor, two: Tensor) -> bool:
    if one.shape != two.shape:
        return False
    if not one.is_floating_point():
        return bool(torch.equal(one, two))
    one, two = one.nan_to_num(), two.nan_to_num()  # calibration names the layer of a NaN
    largest = float(one.abs().max()) if one.numel() else 0.0
    return bool(torch.allclose(one, two, rtol=0, atol=_TOLERANCE * max(largest, 1e-6)))
