"""Counts of spikes, by position and by group of channels of equal fan-out: no finer than costs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.signals.memory import flat, sum_over_time

_AT_ONCE = 64  # channels that are held in float64 while they are summed


@dataclass(frozen=True)
class FanOut:
    """Synapses of one layer that a spike of each unit of one source reaches.

    Attributes:
        groups: group of each channel, int64 [C]; [F, C] where the F frames of an image differ.
        maps: fan-out at every position of each group, float64 [G, ...].
    """

    groups: Tensor
    maps: Tensor

    @classmethod
    def of(cls, fanout: Tensor) -> FanOut:
        """Channels with equal maps share one.

        Args:
            fanout: of every unit, [F, C, ...]; an image has F rows in the batch axis, most often one.
        """
        if bool((fanout == fanout[:1]).all()):
            fanout = fanout[:1]
        channels = fanout.shape[:2] if len(fanout) > 1 else fanout.shape[1:2]
        fanout = fanout.flatten(0, 1)
        rows = fanout.reshape(len(fanout), -1) if fanout.stride(0) else fanout[:1].reshape(1, -1)
        if bool((rows == rows[:1]).all()):
            groups = torch.zeros(channels, dtype=torch.int64, device=fanout.device)
            return cls(groups, fanout[:1].double().contiguous())
        maps, found = torch.unique(rows, dim=0, return_inverse=True)
        return cls(found.view(channels), maps.double().view(-1, *fanout.shape[1:]))

    def regrouped(self, groups: Tensor) -> Tensor:
        """Maps [G', ...] of finer groups [C] or [F, C]."""
        member = torch.zeros(int(groups.max()) + 1, dtype=torch.int64, device=groups.device)
        member = member.scatter(0, groups.flatten(), self.groups.expand(groups.shape).flatten())
        return self.maps[member]


def common_groups(fanouts: Sequence[FanOut], channels: int) -> Tensor:
    """The coarsest groups [C] or [F, C] within which all of these fan-outs agree."""
    device = fanouts[0].groups.device if fanouts else None
    common = torch.zeros(channels, dtype=torch.int64, device=device)
    for fanout in fanouts:
        both = common * (int(fanout.groups.max()) + 1) + fanout.groups
        common = torch.unique(both, return_inverse=True)[1]
    return common


class SpikeTally:
    """Counts the spikes of a simulation.

    Args:
        groups: source layer -> group of each channel, int64 [C] or [F, C], as `Connectivity.groups`; spikes
            of other layers are not counted.
        sizes: source layer -> number of its groups, as `Connectivity.sizes`; where a layer
            is missing, `groups` give it.

    Attributes:
        maps: source layer -> spikes so far, summed over images and channels of a group, float64 [G, ...].
    """

    def __init__(self, groups: Mapping[str, Tensor], sizes: Mapping[str, int] | None = None) -> None:
        self._groups = groups
        self._sizes = sizes or {}
        self.maps: dict[str, Tensor] = {}
        self._apart: dict[str, bool] = {}  # whether every channel is its own group

    def frames(self, name: str) -> int:
        """Rows of one image in the batch axis that are counted apart; 1 where all count alike."""
        groups = self._groups.get(name)
        return len(groups) if groups is not None and groups.ndim > 1 else 1

    def counts(self, name: str) -> bool:
        """True where spikes of this layer are counted."""
        return name in self._groups

    def add_steps(self, name: str, spikes: Tensor) -> None:
        """Add what one layer sends in T steps [T, B, C, ...]; a negative spike counts as one, too."""
        self.add_events(name, spikes.abs())

    def add_events(self, name: str, events: Tensor) -> None:
        """The same where nothing is negative."""
        if name in self._groups:
            by_frame = flat(events).unflatten(0, (-1, self.frames(name)))
            self.add(name, sum_over_time(by_frame).flatten(0, 1))

    def add(self, name: str, counts: Tensor) -> None:
        """Add spikes of one layer, summed over time and images: [C, ...], or [F * C, ...] of F frames."""
        groups = self._groups.get(name)
        if groups is None:
            return
        if name not in self.maps:
            self._begin(name, groups, counts)
        total = self.maps[name]
        if self._apart[name]:
            total += counts
            return
        for channels, group in zip(
            counts.split(_AT_ONCE), groups.flatten().to(counts.device).split(_AT_ONCE), strict=True
        ):
            if len(total) == 1:
                total += channels.sum(0, keepdim=True, dtype=torch.float64)
            else:
                total.index_add_(0, group, channels.double())

    def _begin(self, name: str, groups: Tensor, counts: Tensor) -> None:
        """An empty map for a layer, in the layout of its counts where they are kept channel by channel."""
        size = self._sizes.get(name) or int(groups.max()) + 1
        channels = groups.flatten()
        self._apart[name] = size == len(channels) and bool((channels.diff() == 1).all())
        if self._apart[name]:
            self.maps[name] = torch.zeros_like(counts, dtype=torch.float64)
        else:
            shape = (size, *counts.shape[1:])
            self.maps[name] = torch.zeros(shape, dtype=torch.float64, device=counts.device)
