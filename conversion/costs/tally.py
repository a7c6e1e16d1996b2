"""Spikes counted as finely as their cost differs: by position, and by group of channels of equal fan-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_AT_ONCE = 64  # channels that are held in float64 while they are summed


@dataclass(frozen=True)
class FanOut:
    """Synapses of one layer that a spike of each unit of one source reaches.

    Attributes:
        groups: group of each channel, int64 [C].
        maps: fan-out at every position of each group, float64 [G, ...].
    """

    groups: Tensor
    maps: Tensor

    @classmethod
    def of(cls, fanout: Tensor) -> FanOut:
        """Channels [C, ...] with equal maps share one."""
        rows = fanout.reshape(len(fanout), -1) if fanout.stride(0) else fanout[:1].reshape(1, -1)
        if bool((rows == rows[:1]).all()):
            groups = torch.zeros(len(fanout), dtype=torch.int64, device=fanout.device)
            return cls(groups, fanout[:1].double().contiguous())
        maps, groups = torch.unique(rows, dim=0, return_inverse=True)
        return cls(groups, maps.double().view(-1, *fanout.shape[1:]))

    def regrouped(self, groups: Tensor) -> Tensor:
        """Maps [G', ...] of finer groups [C]."""
        count = int(groups.max()) + 1
        member = torch.zeros(count, dtype=torch.int64, device=groups.device)
        channels = torch.arange(len(groups), device=groups.device)
        return self.maps[self.groups[member.scatter(0, groups, channels)]]


def common_groups(fanouts: Sequence[FanOut], channels: int) -> Tensor:
    """The coarsest groups [C] within which all of these fan-outs agree."""
    device = fanouts[0].groups.device if fanouts else None
    common = torch.zeros(channels, dtype=torch.int64, device=device)
    for fanout in fanouts:
        both = common * (int(fanout.groups.max()) + 1) + fanout.groups
        common = torch.unique(both, return_inverse=True)[1]
    return common


class SpikeTally:
    """Counts the spikes of a simulation.

    Args:
        groups: source layer -> group of each channel, int64 [C], as `Connectivity.groups`; spikes of other
            layers are not counted.

    Attributes:
        maps: source layer -> spikes so far, summed over images and channels of a group, float64 [G, ...].
    """

    def __init__(self, groups: Mapping[str, Tensor]) -> None:
        self._groups = groups
        self.maps: dict[str, Tensor] = {}

    def add(self, name: str, counts: Tensor) -> None:
        """Add spikes [C, ...] of one layer."""
        groups = self._groups.get(name)
        if groups is None:
            return
        if name not in self.maps:
            size = (int(groups.max()) + 1, *counts.shape[1:])
            self.maps[name] = torch.zeros(size, dtype=torch.float64, device=counts.device)
        total = self.maps[name]
        for channels, group in zip(
            counts.split(_AT_ONCE), groups.to(counts.device).split(_AT_ONCE), strict=True
        ):
            if len(total) == 1:
                total += channels.sum(0, keepdim=True, dtype=torch.float64)
            else:
                total.index_add_(0, group, channels.double())
