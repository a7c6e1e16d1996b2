"""A baseline: what a set of cells has measured, and how far a later measurement may be from it.

Spike counts and synaptic operations are whole numbers, so the same arithmetic gives the same counts, and one
spike more is a change. Another processor or another version of torch rounds the ANN's activations
otherwise, and with them thresholds and currents; then a neuron here and there fires one step earlier. So a
baseline remembers the arithmetic it was measured with, and has two sets of tolerances.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from leaderboard.files.atomic import StoreError, write_text_atomically
from leaderboard.files.plain_files import LARGE, read_plain
from leaderboard.records.record import Frozen, Record


class Tolerance(Frozen):
    """How far a number may move before it counts as moved, and why that far."""

    counts: float = Field(ge=0)  # spikes, synaptic operations, steps: relative
    energy: float = Field(ge=0)  # relative
    metrics: float = Field(ge=0)  # of scores in [0, 1]: absolute; of other figures: relative
    why: str


class MeasuredPoint(Frozen):
    """What was measured at one read-out; counts and energies are averages per image."""

    averaged: int
    t_total: float
    metrics: dict[str, float]
    spikes: dict[str, float]
    synops: dict[str, float]
    energy_pj: dict[str, float]


class MeasuredCell(Frozen):
    """What was measured in one cell."""

    data: dict[str, str]  # split -> fingerprint
    ann_metrics: dict[str, float]
    ann_energy_pj: dict[str, float]
    macs: float
    sources: list[str]  # layers that send spikes, in the order of computation
    pools: list[str]  # those of them that are pooling layers
    readings: dict[int, MeasuredPoint]  # t -> what was measured there

    @classmethod
    def of(cls, record: Record) -> MeasuredCell:
        """The part of a record that a change of the code may move."""
        return cls(
            data=record.provenance.data,
            ann_metrics=record.ann.metrics,
            ann_energy_pj=record.ann.energy_pj,
            macs=record.ann.macs,
            sources=[source.name for source in record.sources],
            pools=[source.name for source in record.sources if source.kind == "pooling"],
            readings={
                point.t: MeasuredPoint(
                    averaged=point.averaged or point.t,
                    t_total=point.t_total,
                    metrics=point.metrics,
                    spikes=point.spikes,
                    synops=point.synops,
                    energy_pj=point.energy_pj,
                )
                for point in record.curve
            },
        )


SAME = Tolerance(
    counts=0.0,
    energy=1e-9,
    metrics=1e-6,
    why="The same arithmetic gives the same counts, so counts must be equal. Energies are sums of products "
    "of them in double precision, whose order may change; figures such as the KL divergence are sums in "
    "single precision.",
)
OTHER = Tolerance(
    counts=0.05,
    energy=0.05,
    metrics=0.03,
    why="Another processor, another version of torch or simulation without the compiled kernel rounds "
    "activations otherwise; a threshold on such a value, or a membrane within rounding of its threshold, "
    "moves a spike by a step. AVX2 in place of AVX-512 moved the counts of a layer by up to 2.7 percent. On "
    "baselines of so few images one image is one point of accuracy.",
)


class Baseline(Frozen):
    """The committed file."""

    version: int = 1
    arithmetic: dict[str, str]  # what decides how float32 numbers are rounded
    same: Tolerance = SAME  # where the arithmetic is that of the baseline
    other: Tolerance = OTHER
    # Label of a recipe, or name of a cell -> why other arithmetic tells nothing about it.
    only_same: dict[str, str] = Field(default={})
    cells: dict[str, MeasuredCell]

    def tolerance(self, arithmetic: Mapping[str, str]) -> Tolerance:
        """The tolerances for a measurement with this arithmetic."""
        return self.same if self.is_same(arithmetic) else self.other

    def is_same(self, arithmetic: Mapping[str, str]) -> bool:
        """Whether numbers are rounded as they were."""
        return dict(arithmetic) == self.arithmetic

    def comparable(
        self, cells: Mapping[str, MeasuredCell], arithmetic: Mapping[str, str]
    ) -> dict[str, MeasuredCell]:
        """Those of some cells that can be compared where this is the arithmetic."""
        if self.is_same(arithmetic):
            return dict(cells)
        return {
            name: cell
            for name, cell in cells.items()
            if name not in self.only_same and name.split(" / ")[3] not in self.only_same
        }


def cell_name(record: Record) -> str:
    """What a baseline calls a cell; unlike its id it outlives changes of the configuration."""
    return f"{record.task} / {record.dataset} / {record.network} / {record.method.label} / seed {record.seed}"


def measured(records: Iterable[Record]) -> dict[str, MeasuredCell]:
    """What each cell has measured, in the order of their names.

    Raises:
        StoreError: two records have the same name.
    """
    found: dict[str, MeasuredCell] = {}
    for record in records:
        name = cell_name(record)
        if name in found:
            raise StoreError(f"two cells are called '{name}'; give one of them a label of its own")
        found[name] = MeasuredCell.of(record)
    return dict(sorted(found.items()))


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        StoreError: the file is missing or damaged; says what to do.
    """
    try:
        return Baseline.model_validate_json(read_plain(path, LARGE))
    except OSError as error:
        raise StoreError(
            f"no baseline {path}: {error.strerror or error}. `spikemark regress --update` writes one."
        ) from error
    except ValueError as error:
        raise StoreError(
            f"{path} is not a baseline: {error}. Restore it, or write it anew with --update."
        ) from error


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline so that a change of one cell changes few lines.

    Raises:
        StoreError: the file cannot be written.
    """
    content: dict[str, Any] = baseline.model_dump(mode="json")
    cells = content.pop("cells")
    head = json.dumps(content, indent=1)[: -len("\n}")]
    lines = [f"  {json.dumps(name)}: {_cell(cell)}" for name, cell in cells.items()]
    body = ",\n".join(lines)
    write_text_atomically(path, f'{head},\n "cells": {{\n{body}\n }}\n}}\n')


def _cell(cell: dict[str, Any]) -> str:
    readings = cell.pop("readings")
    head = json.dumps(cell)[:-1]
    lines = ",\n".join(f"    {json.dumps(t)}: {json.dumps(reading)}" for t, reading in readings.items())
    return f'{head}, "readings": {{\n{lines}\n   }}}}'
