"""Figures that the page lists by the thousand: what they are called stands once, beside the lists.

A page of a thousand rows has no room for a name at every figure. So a shape is a frozen dataclass, its values
are written as a list in the order of its fields, and the names of all shapes go into the page's data, from
which the script names what it reads. Nothing counts positions on either side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar

Figure = float | None
Bounds = list[Figure]  # low, high; None for an end beyond what was run


@dataclass(frozen=True)
class Shape:
    """Base of all shapes."""

    shape: ClassVar[str]  # what the script calls it

    def listed(self) -> list[Any]:
        """The values, in the order of `names`."""
        return [getattr(self, field.name) for field in fields(self)]

    @classmethod
    def names(cls) -> list[str]:
        """What the script calls the fields: "gap_low" is gapLow there."""
        return [re.sub("_(.)", lambda found: found[1].upper(), field.name) for field in fields(cls)]


@dataclass(frozen=True)
class PagePoint(Shape):
    """One read-out of a row: per cent, points, and microjoules an image."""

    shape: ClassVar[str] = "point"

    t: int  # the read-out
    t_total: Figure  # every step run
    averaged: Figure  # output steps averaged
    metric: Figure
    low: Figure
    high: Figure
    gap: Figure
    gap_low: Figure
    gap_high: Figure
    kl: Figure
    synops: Figure
    rate: Figure
    energy: list[Figure]  # by model


@dataclass(frozen=True)
class PageStanding(Shape):
    """Where a row stands under one limit of time steps."""

    shape: ClassVar[str] = "standing"

    t: int  # its last read-out within the limit
    ranks: list[int | None]  # by order
    tied: list[bool]  # by order: another row has the same rank
    area: Figure  # mean metric over T = 1, 2, 4, ..., per cent
    steps_one: Figure  # time steps to 1-point parity
    steps_one_bounds: Bounds | None
    steps_half: Figure
    steps_half_bounds: Bounds | None
    energy: list[Figure]  # at 1-point parity as a multiple of the ANN's, by model
    energy_bounds: list[Bounds | None]


@dataclass(frozen=True)
class PageSource(Shape):
    """A layer that sends spikes, at the last read-out."""

    shape: ClassVar[str] = "source"

    name: str
    kind: str
    units: int
    rate: Figure
    spikes: Figure


@dataclass(frozen=True)
class PageLayer(Shape):
    """A layer with weights, at the last read-out."""

    shape: ClassVar[str] = "layer"

    name: str
    drive: str
    macs: float  # of the ANN
    synops: Figure


@dataclass(frozen=True)
class PageReading(Shape):
    """The metric of one run at one read-out, per cent."""

    shape: ClassVar[str] = "reading"

    t: int
    metric: Figure


@dataclass(frozen=True)
class PageError(Shape):
    """Where the error of one layer comes from: shares in per cent of the mean activation."""

    shape: ClassVar[str] = "error"

    layer: str
    threshold: Figure
    rate: Figure
    error: Figure
    clipping: Figure
    quantisation: Figure
    input: Figure
    unevenness: Figure


SHAPES: dict[str, list[str]] = {
    each.shape: each.names()
    for each in (PagePoint, PageStanding, PageSource, PageLayer, PageReading, PageError)
}
