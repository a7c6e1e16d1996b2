"""Coefficients by which a few spikes approximate a function of one value.

Spikes z_1, ..., z_K follow from v = x by z_t = [v >= T_t], v -= h_t z_t; the function is the sum of d_t z_t.
Given T and h, the best d solves a linear least squares problem. Starts of three kinds are tried, and the best
one is refined by gradient:

    staircase    h = 0, so that every step compares x with T_t: errors fall like 1 / K, whatever the function
    digits       T = h, halved from step to step: the binary digits of x, best for straight lines
    both         some comparisons of smaller values, then the digits of larger ones

Source: Stöckl and Maass 2021 (Nature Machine Intelligence), arXiv 2002.00860, who start at random and refine
all coefficients by surrogate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_REFINED = 16  # steps: with more, the starts are fine enough, and gradients slow
DIGITS = 12  # as fine as 1 / 4096 of the range
KNEES = (0.25, 0.5, 0.75, 0.9)  # shares of the samples below which comparisons stand


@dataclass(frozen=True)
class Coefficients:
    """T, h and d of K steps, all [K] in float64, and the mean squared error on the samples."""

    thresholds: Tensor
    resets: Tensor
    values: Tensor
    loss: float

    def __call__(self, x: Tensor) -> Tensor:
        """The approximated function."""
        return _spikes(x, self.thresholds, self.resets) @ self.values


def fit_coefficients(
    function: Callable[[Tensor], Tensor], samples: Tensor, steps: int, iterations: int = 100
) -> Coefficients:
    """Coefficients with a small mean squared error on samples of the input.

    Args:
        function: of single values.
        samples: inputs [S] as they are distributed, finite.
        steps: K.
        iterations: of the refinement by gradient; 0 for none.
    """
    x = samples.detach().double().flatten().sort().values
    target = function(x)
    starts = [_staircase(x, target, steps), _digits(x, steps)]
    counts = {steps // 4, steps // 2, max(steps - DIGITS, 0)} - {0}
    starts += [_mixed(x, target, steps, count, share) for count in sorted(counts) for share in KNEES]
    best = min((_solved(x, target, *start) for start in starts), key=lambda found: found.loss)
    if not iterations or steps > MOST_REFINED or best.loss <= 1e-6 * float(target.square().mean()):
        return best
    return min(best, _refined(x, target, best, iterations), key=lambda found: found.loss)


def _spikes(x: Tensor, thresholds: Tensor, resets: Tensor) -> Tensor:
    """Spikes [S, K]."""
    v, found = x, []
    for threshold, reset in zip(thresholds, resets, strict=True):
        fires = (v >= threshold).to(x.dtype)
        found.append(fires)
        v = v - reset * fires
    return torch.stack(found, -1)


def _solved(x: Tensor, target: Tensor, thresholds: Tensor, resets: Tensor) -> Coefficients:
    """The best values for these thresholds and resets."""
    spikes = _spikes(x, thresholds, resets)
    gram = spikes.T @ spikes / len(x)
    gram += 1e-9 * torch.eye(len(gram), dtype=x.dtype, device=x.device)  # spikes that always come together
    values = torch.linalg.solve(gram, spikes.T @ target / len(x))
    loss = float((spikes @ values - target).square().mean())
    return Coefficients(thresholds, resets, values, loss)


def _staircase(x: Tensor, target: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Thresholds that share out the way which the function goes; the first one is always reached."""
    way = torch.cat([target.new_zeros(1), target.diff().abs().cumsum(0)])
    way = way + 0.05 * way[-1].clamp(min=1e-12) * torch.linspace(
        0, 1, len(way), dtype=x.dtype, device=x.device
    )
    shares = torch.arange(1, steps, dtype=x.dtype, device=x.device) / steps * way[-1]
    places = torch.searchsorted(way.contiguous(), shares).clamp(max=len(x) - 1)
    thresholds = torch.cat([x[:1] - 1, x[places]])
    return thresholds, torch.zeros_like(thresholds)


def _digits(x: Tensor, steps: int, low: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Binary digits of x above its lowest value; the first step is always reached and moves x there."""
    low = x[0] if low is None else low
    width = (x[-1] - low).clamp(min=1e-12)
    halves = width * 0.5 ** torch.arange(1, steps, dtype=x.dtype, device=x.device)
    first = torch.minimum(x[:1], low) - 1
    return torch.cat([first, halves]), torch.cat([low[None], halves])


def _mixed(x: Tensor, target: Tensor, steps: int, before: int, share: float) -> tuple[Tensor, Tensor]:
    """Comparisons on the lower part of the values, then digits of what is above it."""
    knee = x[int(share * (len(x) - 1))]
    below = x[x <= knee]
    thresholds, resets = _staircase(below, target[: len(below)], before)
    more, reset = _digits(x[x >= knee], steps - before, knee)
    return torch.cat([thresholds, more]), torch.cat([resets, reset])


def _refined(x: Tensor, target: Tensor, start: Coefficients, iterations: int) -> Coefficients:
    """Adam on thresholds and resets by surrogate gradients, with the best values at every evaluation."""
    width = float(x[-1] - x[0]) or 1.0
    with torch.enable_grad():
        thresholds, resets, values = (
            each.clone().requires_grad_() for each in (start.thresholds, start.resets, start.values)
        )
        adam = torch.optim.Adam([thresholds, resets, values], 0.003 * width)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, iterations)
        best = start
        for iteration in range(iterations):
            v, out = x, torch.zeros_like(x)
            for t in range(len(thresholds)):
                fires = _Fire.apply(v - thresholds[t], 0.1 * width)
                out = out + values[t] * fires
                v = v - resets[t] * fires
            adam.zero_grad()
            (out - target).square().mean().backward()
            adam.step()
            cosine.step()
            if iteration % 20 == 19:
                with torch.no_grad():
                    found = _solved(x, target, thresholds.detach().clone(), resets.detach().clone())
                    values.copy_(found.values)
                best = min(best, found, key=lambda one: one.loss)
    return best


class _Fire(torch.autograd.Function):
    """[v >= 0], with a triangle as its gradient."""

    @staticmethod
    def forward(ctx, v: Tensor, width: float) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(v)
        ctx.width = width
        return (v >= 0).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        (v,) = ctx.saved_tensors
        return gradient * (1 - v.abs() / ctx.width).clamp(min=0) / ctx.width, None
