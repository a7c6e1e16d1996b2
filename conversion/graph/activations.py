"""Activations for networks that are trained to be converted: they already take a neuron's few values.

Put them where a ReLU would be and train; conversion then knows the threshold of each layer (scale
"learned"). Every other recipe converts such a network too.

    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), QCFS(levels=4), ...)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LEAST_CEILING = 1e-4  # a learned threshold below it counts as it: a threshold has to be positive


class TrainedActivation(nn.Module):
    """Base: a staircase from 0 to `ceiling` in `levels` equal steps.

    The number of levels is stored with the weights, because weights trained for one number mean
    another function with another.

    Args:
        levels: steps above zero, at least 1.

    Raises:
        ValueError: levels is not a positive whole number.
    """

    levels: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        if type(levels) is not int or levels < 1:
            raise ValueError(f"levels must be a whole number of at least 1, got {levels!r}")
        self.register_buffer("levels", torch.tensor(levels))

    @property
    def ceiling(self) -> Tensor:
        """Largest value, a positive scalar."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Levels and ceiling, for print."""
        return f"levels={int(self.levels)}, ceiling={float(self.ceiling):.4g}"


class QCFS(TrainedActivation):
    """Quantisation, clip, floor, shift: a = λ clip(floor(z L / λ + 1/2) / L, 0, 1), with λ learned.

    An integrate-and-fire neuron with threshold λ that starts half full and gets the constant current
    z sends exactly λ clip(floor(z T / λ + 1/2) / T, 0, 1) a step on average over T steps: the same
    function at T = L, and in expectation the same for every T where z is spread evenly over each step.

    Gradients are the paper's (floor passes gradients on as if it were the identity):

        da/dz = 1 for -λ / 2L < z < λ - λ / 2L, else 0
        da/dλ = (a - z) / λ for -λ / 2L <= z < λ - λ / 2L, 0 below, 1 above

    The authors' code differs from them between λ - λ / 2L and λ + λ / 2L. λ below `LEAST_CEILING`
    counts as that, with the same gradients, so that it can grow again. A NaN stays NaN.

    With L = 2^b - 1 this is also the quantised activation of b bits of Fast-SNN (Hu et al. 2023, TPAMI,
    arXiv 2305.19868), whose clipping value is λ. Its weights quantised to sums of powers of two and its
    training by way of more and more coarse activations are not reproduced.

    Args:
        levels: L, the number of steps; T at which the spiking neuron is exact.
        start: λ before training; 4, as in the authors' code.

    Source: Bu et al. 2022 (ICLR), arXiv 2303.04347, eq. 10 and section 4.3.
    """

    def __init__(self, levels: int = 4, start: float = 4.0) -> None:
        super().__init__(levels)
        if not start >= LEAST_CEILING:
            raise ValueError(f"start must be at least {LEAST_CEILING}, got {start}")
        self.threshold = nn.Parameter(torch.tensor(float(start)))  # λ

    @property
    def ceiling(self) -> Tensor:
        """λ."""
        return self.threshold.detach().clamp(min=LEAST_CEILING)

    def forward(self, z: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        result: Tensor = _QuantiseClipFloorShift.apply(z, self.threshold, self.levels)
        return result


class IntegerActivation(TrainedActivation):
    """Whole numbers 0 to D: s = round(clip(z, 0, D)), the neuron of integer-valued training at T = 1.

    Gradients pass inside [0, D] as if nothing was rounded. A spiking neuron with threshold 1 sends s
    in one step, or as D binary steps, exactly. The leak of the original neuron acts from one time
    step to the next, so with one step a network of feed-forward layers has none.

    Args:
        levels: D, the largest number.

    Source: Luo et al. 2024 (ECCV), arXiv 2407.20708; D = 4 there.
    """

    def __init__(self, levels: int = 4) -> None:
        super().__init__(levels)

    @property
    def ceiling(self) -> Tensor:
        """D."""
        return self.levels.to(torch.get_default_dtype())

    def forward(self, z: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        clipped = torch.minimum(z.clamp(min=0), self.levels.to(z.dtype))
        return clipped + (clipped.round() - clipped).detach()


class _QuantiseClipFloorShift(torch.autograd.Function):
    """The staircase of `QCFS` with the paper's gradients."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, levels: Tensor) -> Tensor:
        ctx.save_for_backward(z, threshold, levels)
        ceiling = threshold.clamp(min=LEAST_CEILING)
        steps = torch.minimum((z * (levels / ceiling) + 0.5).floor_().clamp_(min=0), levels)
        return (steps * (ceiling / levels)).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        z, threshold, levels = ctx.saved_tensors
        ceiling = threshold.clamp(min=LEAST_CEILING)
        half = ceiling / (2 * levels)
        above = z >= ceiling - half
        within = (z > -half) & ~above
        rounded = (z * (levels / ceiling) + 0.5).floor_() * (ceiling / levels)
        slope = torch.where(within, (rounded - z) / ceiling, above.to(z.dtype))
        by_threshold = (gradient * slope).sum(dtype=torch.promote_types(z.dtype, threshold.dtype))
        return gradient * within, by_threshold.to(threshold.dtype).view_as(threshold), None
