"""One option for each layer, with the least loss that a common budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_CHOICES = (
    100_000  # kept after each layer; if there are more, costs are rounded to this many parts of the budget
)


@dataclass(frozen=True)
class Option:
    """One thing that could be done in one layer."""

    cost: float  # not negative
    loss: float


def choose(options: Sequence[Sequence[Option]], budget: float) -> list[int]:
    """Index of the option to take in each layer: least sum of losses with a sum of costs in the budget.

    Dynamic programming over layers. After each, only those choices are kept that no other beats in
    both cost and loss, and that leave enough for the cheapest options of the layers to come, so the
    result is exact. Only where more than `MOST_CHOICES` remain are costs told apart no finer than
    budget / `MOST_CHOICES`; the result is then still within the budget.

    Args:
        options: of each layer, at least one.
        budget: most that the costs may add up to. If even the cheapest options exceed it, those are taken.

    Raises:
        ValueError: a layer has no options, or a cost is negative.
    """
    if any(not layer for layer in options):
        raise ValueError("every layer needs at least one option")
    if any(option.cost < 0 for layer in options for option in layer):
        raise ValueError("costs must not be negative")
    cheapest = [min(option.cost for option in layer) for layer in options]
    budget = max(budget, sum(cheapest)) * (1 + 1e-12)  # sums of floats in another order
    cost, loss = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    taken: list[tuple[Tensor, Tensor]] = []  # per layer and kept choice: choice before it, option
    for number, layer in enumerate(options):
        costs = torch.tensor([option.cost for option in layer], dtype=torch.float64)
        losses = torch.tensor([option.loss for option in layer], dtype=torch.float64)
        totals = (cost[:, None] + costs).flatten()
        sums = (loss[:, None] + losses).flatten()
        kept = _undominated(totals, sums, budget - sum(cheapest[number + 1 :]))
        taken.append((kept // len(layer), kept % len(layer)))
        cost, loss = totals[kept], sums[kept]
    best, found = int(loss.argmin()), list[int]()
    for before, option in reversed(taken):
        found.append(int(option[best]))
        best = int(before[best])
    return found[::-1]


def _undominated(costs: Tensor, losses: Tensor, budget: float) -> Tensor:
    """Indices of the choices within the budget that no other beats in both, cheapest first."""
    order = torch.argsort(losses, stable=True)
    order = order[torch.argsort(costs[order], stable=True)]  # by cost, then by loss
    order = order[costs[order] <= budget]
    best = losses[order].cummin(0).values
    better = torch.ones_like(order, dtype=torch.bool)
    better[1:] = best[1:] < best[:-1]
    order = order[better]
    if len(order) <= MOST_CHOICES:
        return order
    part = (costs[order] * (MOST_CHOICES / budget)).long()
    last = torch.ones_like(part, dtype=torch.bool)  # of each part of the budget: the least loss
    last[:-1] = part[1:] > part[:-1]
    return order[last]
