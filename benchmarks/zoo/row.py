"""One row of the table: what became of a network, and how far its outputs are from the ANN's over time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.published import Published, settled
from conversion import ConversionError, convert

TIME_STEPS = (1, 4, 16, 64)
GAMMAS = (15, 1)  # most spikes of a neuron in one step
SEED = 0
_SIMULATED = 2  # images
_NOISE = 0.01  # standard deviation


@dataclass(frozen=True)
class Row:
    """What was found of one network.

    Attributes:
        network: its name.
        size: pixels of a side of the images.
        verdict: of the audit; or why it does not convert.
        share: of the ANN's multiply-accumulates that spikes drive alone; None where it is unknown.
        distances: gamma -> largest relative distance of any output at `TIME_STEPS`.
        amplification: see `amplification`; None where it was not measured.
    """

    network: str
    size: int
    verdict: str
    share: float | None = None
    distances: Mapping[str, list[float]] = field(default_factory=dict)
    amplification: float | None = None


def measured(name: str, published: Published) -> Row:
    """Convert a network and compare what it says over time with what the ANN says."""
    torch.manual_seed(SEED)
    images = torch.randn(published.images, 3, published.size, published.size)
    network = settled(published.build(), images)
    shown = images[:_SIMULATED]
    with torch.no_grad():
        expected = _tensors(network(shown))
    verdict, share = "", None
    distances: dict[str, list[float]] = {}
    for gamma in GAMMAS:
        try:
            snn = convert(network, {"preset": "tracking", "neuron": {"gamma": gamma}}, images)
        except ConversionError as error:
            return Row(name, published.size, str(error).splitlines()[0])
        verdict, share = snn.audit.verdict, snn.audit.share
        distances[str(gamma)] = [
            max(
                float((one - two).norm() / two.norm())
                for one, two in zip(_tensors(readout.output), expected, strict=True)
            )
            for readout in snn.simulate(shown, TIME_STEPS)
        ]
    if not _same(_tensors(_run(network, shown)), expected):
        verdict = "the ANN was changed"
    return Row(name, published.size, verdict, share, distances, amplification(network, shown))


def amplification(network: nn.Module, images: Tensor) -> float:
    """By how much a network of random weights makes a small relative error of its images larger."""
    noise = _NOISE * torch.randn(images.shape, generator=torch.Generator().manual_seed(SEED))
    before, after = (_tensors(_run(network, each)) for each in (images, images + noise))
    moved = max(float((two - one).norm() / one.norm()) for one, two in zip(before, after, strict=True))
    return moved / float(noise.norm() / images.norm())


def _run(network: nn.Module, images: Tensor) -> Any:
    with torch.no_grad():
        return network(images)


def _same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))


def _tensors(nest: Any) -> list[Tensor]:
    if isinstance(nest, Tensor):
        return [nest]
    parts = nest.values() if isinstance(nest, dict) else nest
    return [tensor for part in parts for tensor in _tensors(part)]


def kept_rows(path: Path) -> dict[str, Row]:
    """Rows that a file holds, one JSON object a line, by network; none where there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {row.network: row for row in (Row(**json.loads(line)) for line in lines)}


def keep(path: Path, row: Row) -> None:
    """Add a row to a file."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")
