"""What becomes of max pooling: the maximum of spikes is not the spike train of the maximum.

A pool is a pure function over a chunk of time, like a neuron. It works on any max pooling: kernel,
stride, padding, dilation, ceil mode, adaptive output sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.parts import Part, check, register
from conversion.signals.memory import differ, flat

State = dict[str, Tensor]


class MaxPool:
    """The ANN's own max pooling, whatever its kind and settings, on [N, C, ...]."""

    def __init__(self, function: Callable[..., Any], **settings: Any) -> None:
        self._function = function
        self.settings = settings

    @classmethod
    def of_module(cls, module: nn.Module) -> MaxPool:
        """Pooling that a torch.nn module does."""
        name = type(module).__name__
        function = getattr(F, _FUNCTION_NAMES[name])
        return cls(function, **{key: getattr(module, key) for key in _SETTINGS if hasattr(module, key)})

    @classmethod
    def of_function(cls, name: str, settings: dict[str, Any]) -> MaxPool:
        """Pooling that a function of torch.nn.functional does, by its name."""
        return cls(getattr(F, name), **settings)

    def __call__(self, values: Tensor) -> Tensor:
        """Maximum of each window."""
        pooled: Tensor = self._function(values, **self.settings)
        return pooled

    def winners(self, values: Tensor) -> Tensor:
        """Flat position of the maximum of each window, in its input map."""
        indices: Tensor = self._function(values, **self.settings, return_indices=True)[1]
        return indices


_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "output_size")
_FUNCTION_NAMES = {
    **{f"MaxPool{d}d": f"max_pool{d}d" for d in (1, 2, 3)},
    **{f"AdaptiveMaxPool{d}d": f"adaptive_max_pool{d}d" for d in (1, 2, 3)},
}


@dataclass(frozen=True)
class Pooling(Part):
    """Base of all replacements of max pooling."""

    kind: ClassVar[str] = "pooling"
    graded: ClassVar[bool]  # sends sums of spikes rather than one of its input spikes
    takes_currents: ClassVar[bool] = False  # pools come before the neurons that feed them, where they can

    def rule(self, spikes: bool) -> Pooling:
        """The rule for a pool that receives spikes, or else currents."""
        return self

    def scan(self, pool: MaxPool, values: Tensor, state: State) -> tuple[Tensor, State]:
        """Pool a chunk of time.

        Args:
            pool: the ANN's max pooling, on [N, C, H, W].
            values: transmitted values [T, B, C, H, W].
            state: state after the previous chunk; empty before the first one.

        Returns:
            Pooled values [T, B, C, H', W'] and the next state.
        """
        raise NotImplementedError


def _cumulative(values: Tensor, state: State) -> Tensor:
    return running_sum(values, state["total"] if state else None)


def running_sum(values: Tensor, before: Tensor | None = None) -> Tensor:
    """Running sum over time, in the memory layout of `values`; several times faster than cumsum.

    Args:
        values: [T, B, ...].
        before: sum of what came before, [B, ...].

    Returns:
        [T, B, ...]
    """
    total = torch.empty_like(values)
    before = torch.zeros_like(values[0]) if before is None else before
    for t in range(len(values)):
        before = torch.add(before, values[t], out=total[t])
    return total


@register
@dataclass(frozen=True)
class LateralInhibition(Pooling):
    """LIPooling in its lossless form, for any max pooling.

    With C_t the input summed up to t and P_t = maxpool(C_t), the output is P_t - P_{t-1}. The sum
    telescopes: what was sent up to t is exactly the max pooling of what arrived up to t. This equals
    lateral inhibition, where the winner's increment is subtracted from its whole window, for
    overlapping windows too, and needs one input map and one output map of state.

    Source: Li & Zeng 2022, arXiv 2204.13271 (2x2 windows); Li et al. 2022, arXiv 2207.02702 (any).
    """

    name: ClassVar[str] = "lateral-inhibition"
    graded: ClassVar[bool] = True

    def scan(self, pool: MaxPool, values: Tensor, state: State) -> tuple[Tensor, State]:
        """o_t = maxpool(C_t) - maxpool(C_{t-1})."""
        total = _cumulative(values, state)
        pooled = pool(flat(total)).unflatten(0, values.shape[:2])
        previous = state["pooled"] if state else torch.zeros_like(pooled[0])
        after = {"total": total[-1].clone(), "pooled": pooled[-1].clone()}
        if pooled.requires_grad:
            return torch.diff(pooled, dim=0, prepend=previous.unsqueeze(0)), after
        return differ(pooled, previous), after


@register
@dataclass(frozen=True)
class Gate(Pooling):
    """Let through the spike of the input that has sent most so far.

    Biased when the leader changes: what the former leader sent stays sent.
    Source: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682.
    """

    name: ClassVar[str] = "gate"
    graded: ClassVar[bool] = False

    def scan(self, pool: MaxPool, values: Tensor, state: State) -> tuple[Tensor, State]:
        """Value at the argmax of the cumulative input."""
        total = _cumulative(values, state)
        winners = pool.winners(flat(total))
        now = flat(values)
        gated = _at(now, winners)
        return gated.unflatten(0, values.shape[:2]), {"total": total[-1].clone()}


def _at(values: Tensor, positions: Tensor) -> Tensor:
    """Values [N, C, ...] at flat positions [N, C, ...] of their maps; channels stay last in memory."""
    spatial = values.ndim - 2
    if spatial == 2 and positions.is_contiguous(memory_format=torch.channels_last):
        rows, maps = values.movedim(1, -1).flatten(1, 2), positions.movedim(1, -1)
        return rows.gather(1, maps.flatten(1, 2)).view_as(maps).movedim(-1, 1)
    return values.flatten(-spatial).gather(-1, positions.flatten(-spatial)).view_as(positions)


@register
@dataclass(frozen=True)
class PerStep(Pooling):
    """Plain pooling of what arrives in each step: an upper bound of the maximum of rates.

    Kept as a baseline: it shows what ignoring the problem costs.
    """

    name: ClassVar[str] = "per-step"
    graded: ClassVar[bool] = False

    @property
    def floor(self) -> str:
        """The maximum of each step, not that of means."""
        return "pools too much: the mean of maxima in place of the maximum of means"

    def scan(self, pool: MaxPool, values: Tensor, state: State) -> tuple[Tensor, State]:
        """o_t = maxpool(x_t)."""
        return pool(flat(values)).unflatten(0, values.shape[:2]), state


@register
@dataclass(frozen=True)
class BeforeNeuron(Pooling):
    """Pool the currents before the neuron fires, so that what is sent stays binary.

    A neuron that feeds nothing but one max pool changes places with it, which leaves the ANN as it
    was. A pool whose input others read too, or that receives something else than one layer's spikes,
    stays where it is and lets through the spikes of its leader, as `Gate`.

    Parameters:
        currents: what the pool sends on. "per-step": the largest current of each step, whose mean is
            at least the largest mean; "cumulative": increments of the largest sum so far, as
            `LateralInhibition` sends, whose mean is exactly the largest mean.

    Source: Bu, Li, Yu 2025 (CVPR), arXiv 2409.03368 ("per-step").
    """

    name: ClassVar[str] = "before-neuron"
    graded: ClassVar[bool] = False
    takes_currents: ClassVar[bool] = True
    currents: Literal["per-step", "cumulative"] = "per-step"

    def __post_init__(self) -> None:
        check(
            self.currents in ("per-step", "cumulative"),
            f"currents must be per-step or cumulative, got {self.currents}",
        )

    @property
    def floor(self) -> str:
        """That of the rule for currents."""
        return self.rule(spikes=False).floor

    def rule(self, spikes: bool) -> Pooling:
        """Gate for spikes; maximum of each step, or increments of the cumulative maximum, for currents."""
        if spikes:
            return Gate()
        return PerStep() if self.currents == "per-step" else LateralInhibition()

    def scan(self, pool: MaxPool, values: Tensor, state: State) -> tuple[Tensor, State]:
        """As the rule for currents does."""
        return self.rule(spikes=False).scan(pool, values, state)
