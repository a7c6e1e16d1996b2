"""Spikes are summed by group of channels, however groups lie and however counts are laid out."""

from __future__ import annotations

import pytest
import torch

from conversion.costs.tally import SpikeTally

CHANNELS = 70  # more than are summed at once
GROUPS = {
    "one group": torch.zeros(CHANNELS, dtype=torch.int64),
    "every channel apart": torch.arange(CHANNELS),
    "pairs": torch.arange(CHANNELS) // 2,
    "shuffled": torch.randperm(CHANNELS, generator=torch.Generator().manual_seed(1)),
}


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_sums_are_those_of_every_single_spike(kind: str, last: bool) -> None:
    groups, generator = GROUPS[kind], torch.Generator().manual_seed(0)
    tally = SpikeTally({"layer": groups})
    expected: dict[tuple[int, int, int], int] = {}
    for _ in range(3):
        counts = torch.randint(0, 5, (CHANNELS, 3, 2), generator=generator)
        for channel, row, column in counts.nonzero().tolist():
            place = int(groups[channel]), row, column
            expected[place] = expected.get(place, 0) + int(counts[channel, row, column])
        if last:
            counts = counts.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        tally.add("layer", counts)
    found = tally.maps["layer"]
    assert found.dtype == torch.float64
    assert {tuple(place): int(found[tuple(place)]) for place in found.nonzero().tolist()} == expected


def test_layers_that_nobody_asks_about_are_not_counted() -> None:
    tally = SpikeTally({})
    tally.add("layer", torch.ones(2, 2))
    assert tally.maps == {}
