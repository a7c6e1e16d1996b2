"""Stand-ins for values while an operation is written out: they know shapes, and what depends on images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx


class Formless(Exception):
    """An operation with these arguments is left as it is."""


class Sizes:
    """Shapes of the values of a graph with one image, found when they are first asked for.

    Args:
        signals: values that depend on images.
        find: runs the graph on one image; None: shapes are not known.
    """

    def __init__(
        self, signals: set[fx.Node], find: Callable[[], Mapping[fx.Node, torch.Size]] | None
    ) -> None:
        self.signals = signals
        self._find = find
        self._known: dict[fx.Node, torch.Size] = {}

    def of(self, node: fx.Node) -> torch.Size:
        """Shape of a value.

        Raises:
            Formless: it is not known.
        """
        if node not in self._known and self._find is not None:
            self._known.update(self._find())
        if node not in self._known:
            raise Formless
        return self._known[node]


class Sized(fx.Proxy):
    """Stand-in for a value of a graph.

    Args:
        node: the value.
        tracer: adds operations on it to the graph.
        sizes: knows its shape.
    """

    def __init__(self, node: fx.Node, tracer: fx.proxy.TracerBase, sizes: Sizes) -> None:
        super().__init__(node, tracer)
        self.sizes = sizes


def shape_of(value: Any) -> torch.Size:
    """Shape of an argument with one image; that of a number has no axes."""
    return value.sizes.of(value.node) if isinstance(value, Sized) else torch.Size()


def rank_of(value: Any) -> int:
    """Number of axes of an argument."""
    return len(shape_of(value))


def is_signal(value: Any) -> bool:
    """True for an argument that depends on images."""
    return isinstance(value, Sized) and value.node in value.sizes.signals
