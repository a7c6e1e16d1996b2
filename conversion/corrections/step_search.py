"""Weights of steps, thresholds and biases of steps, searched on a sample of each channel's neurons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from conversion.neurons.shrinking import nearest_count, scaled

FINEST = 12  # halvings of the first weight
JUDGED = 512  # neurons of each channel that judge the weights of steps
LEAST_ACTIVE = 0.1  # share of neurons by which a shift is thought to move the mean
NEWTON = 6  # steps towards the shift that makes a mean right
MOST_MOVED = 16  # shifts of a channel that move one by one
NUDGES = (-1.0, -0.5, 0.5, 1.0)  # of a shift, in weights of its step
STRETCHES = (0.85, 0.92, 1.08, 1.16)  # of a threshold


@dataclass(frozen=True)
class Seen:
    """Some neurons of every channel, and what they can send.

    Attributes:
        estimates: what has arrived up to each step, over T, [T, C, S]; [1, C, S] where all is known at once.
        wanted: what they should mean after T steps, [C, S].
        steps: T.
        gamma: most spikes of either sign in a step.
        signed: whether there are negative spikes.
        early: weight of the error of a step over that of the step after it.
        bound: of the activation.
    """

    estimates: Tensor
    wanted: Tensor
    steps: int
    gamma: int
    signed: bool
    early: float
    bound: float = math.inf

    def every(self, stride: int) -> Seen:
        """Every so manieth neuron."""
        stride = max(1, stride)
        return replace(self, estimates=self.estimates[..., ::stride], wanted=self.wanted[..., ::stride])

    def estimate(self, step: int) -> Tensor:
        """[C, S] after a step 0, ..., T - 1."""
        return self.estimates[min(step, len(self.estimates) - 1)]

    def errors(self, weights: Sequence[float], threshold: Tensor, shift: Tensor) -> Tensor:
        """Squared errors of what is sent up to each step, weighted and added, [K, C].

        Args:
            weights: of the steps, in thresholds.
            threshold: [K, C].
            shift: added to the estimate of each step, [T, K, C] or [T, 1, C].
        """
        sent, found = self.wanted.new_zeros(()), self.wanted.new_zeros(threshold.shape)
        for step, weight in enumerate(weights):
            unit = (threshold * (weight / self.steps))[..., None]
            target = (self.estimate(step) + shift[step][..., None]).clamp(min=0)
            counts = nearest_count((target - sent) / unit, self.gamma, self.signed, first=step == 0)
            sent = sent + counts * unit
            found += self.early ** (self.steps - 1 - step) * (sent - self.wanted).square().mean(-1)
        return found


@dataclass(frozen=True)
class Steps:
    """What a layer sends with: found for each channel, but for the weights.

    Attributes:
        weights: of the steps, in thresholds.
        threshold: [C].
        shift: added to what has arrived up to each step, over T, [T, C].
        errors: [C].
    """

    weights: tuple[float, ...]
    threshold: Tensor
    shift: Tensor
    errors: Tensor


def patterns(time_steps: int, gamma: int, signed: bool) -> list[tuple[float, ...]]:
    """Weights to try: powers of two that shrink about geometrically, from not at all to as far as is useful.

    A step can correct gamma and a half of its weights either way, and is half a weight off after it. So
    weights that shrink by more than 2 gamma + 1 would leave gaps. Weights of 2^-12 shrink no further.
    """
    most, found = 2 * gamma + 1, dict[tuple[float, ...], None]()
    for quarter in range(int(4 * math.log2(most)) + 1):
        halvings = (math.floor(quarter / 4 * step + 0.5) for step in range(time_steps))
        weights = tuple(2.0 ** -min(count, FINEST) for count in halvings)
        if all(before <= most * after for before, after in pairwise(weights)):
            found[scaled(weights, signed)] = None
    return list(found)


def right_means(seen: Seen) -> Tensor:
    """Shift of each step [T, C] with which estimates above 0 have the mean of what is wanted."""
    wanted, found = seen.wanted.mean(1), []
    for step in range(seen.steps):
        shift = torch.zeros_like(wanted)
        for _ in range(NEWTON):
            moved = seen.estimate(step) + shift[:, None]
            active = ((moved > 0) & (moved < seen.bound)).to(moved).mean(1).clamp(min=LEAST_ACTIVE)
            shift = shift + (wanted - moved.clamp(0, seen.bound).mean(1)) / active
        found.append(torch.where(wanted > 0, shift, 0.0))
    return torch.stack(found)


def choose_weights(
    seen: Seen, threshold: Tensor, multiples: Tensor, shift: Tensor, most: float, judged: int = JUDGED
) -> Steps:
    """The pattern of the least error over all channels, and the best multiple of each threshold for it.

    Args:
        seen: the neurons.
        threshold: [C].
        multiples: of the threshold to try, [K].
        shift: of each step, [T, C].
        most: highest threshold.
        judged: neurons of each channel that patterns are judged on; thresholds on all of them.
    """
    tried, some = (multiples[:, None] * threshold).clamp(max=most), seen.every(seen.wanted.shape[1] // judged)
    least, best = math.inf, patterns(seen.steps, seen.gamma, seen.signed)[0]
    for weights in patterns(seen.steps, seen.gamma, seen.signed):
        error = float(some.errors(weights, tried, shift[:, None]).amin(0).sum())
        least, best = (error, weights) if error < least else (least, best)
    errors, which = seen.errors(best, tried, shift[:, None]).min(0)
    return Steps(best, tried.gather(0, which[None])[0], shift, errors)


def refine(seen: Seen, found: Steps, rounds: int, most: float, shifts: bool) -> Steps:
    """Move the shifts of single steps, one after the other, and then the thresholds, where errors fall.

    Where there are more steps than 16, those of neighbouring steps move together.

    Args:
        seen: the neurons.
        found: to begin with.
        rounds: how often; each goes half as far as the one before.
        most: highest threshold.
        shifts: whether shifts move.
    """
    errors = seen.errors(found.weights, found.threshold[None], found.shift[:, None])[0]
    found, together = replace(found, errors=errors), math.ceil(seen.steps / MOST_MOVED)
    for round_ in range(rounds):
        for start in range(0, seen.steps if shifts else 0, together):
            unit = found.threshold * (found.weights[start] / seen.steps / 2**round_)
            by = unit * unit.new_tensor(NUDGES)[:, None]
            found = _moved(seen, found, slice(start, start + together), by)
        tried = (found.threshold * found.threshold.new_tensor(STRETCHES)[:, None]).clamp(max=most)
        errors, which = seen.errors(found.weights, tried, found.shift[:, None]).min(0)
        better = errors < found.errors
        found = replace(
            found,
            threshold=torch.where(better, tried.gather(0, which[None])[0], found.threshold),
            errors=torch.where(better, errors, found.errors),
        )
    return found


def _moved(seen: Seen, found: Steps, some: slice, by: Tensor) -> Steps:
    """The shifts of some steps moved by one of some amounts [K, C] in channels whose error falls."""
    tried = found.shift[:, None].repeat(1, len(by), 1)
    tried[some] += by
    errors, which = seen.errors(found.weights, found.threshold.expand_as(by), tried).min(0)
    shift = found.shift.clone()
    shift[some] += torch.where(errors < found.errors, by.gather(0, which[None])[0], 0.0)
    return replace(found, shift=shift, errors=torch.minimum(errors, found.errors))
