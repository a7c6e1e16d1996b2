"""Few-spikes neurons: a value in a few steps, each with a threshold, a reset and a weight of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register


@register
@dataclass(frozen=True)
class FewSpikes(Neuron):
    """Few-spikes (FS) neuron: waits for its whole input z, then sends K = T spikes or fewer.

        v = z;  in step t = 1, ..., K:  s = [v >= T_t];  send d_t s;  v -= h_t s

    For a ReLU, T_t = h_t = d_t = 2^-t: the binary digits of z, the highest first, up to 1 - 2^-K thresholds.
    For other functions conversion fits the coefficients of each layer (allocation `few-spikes`).

    A layer starts when the one before it has sent its K spikes, and the first one at once, for the image is
    there: K depth steps in all. A spike of step t transmits K d_t thresholds, so that the mean over K steps
    is the sum of what the paper sends, and layers in between need not know the code.

    Parameters:
        thresholds, resets, values: T, h and d of each step, in thresholds; empty: those of a ReLU.
        error: largest error of the function on calibration images, in thresholds; set with them.

    Source: Stöckl and Maass 2021 (Nature Machine Intelligence), arXiv 2002.00860, and the authors' code.
    """

    name: ClassVar[str] = "few-spikes"
    whole_window: ClassVar[bool] = True
    integral: ClassVar[bool] = False
    approximates: ClassVar[bool] = True
    most_time_steps: ClassVar[int | None] = 127  # 2^-K is a float32
    thresholds: tuple[float, ...] = field(default=())
    resets: tuple[float, ...] = field(default=())
    values: tuple[float, ...] = field(default=())
    error: float = 0.0

    def __post_init__(self) -> None:
        for name in ("thresholds", "resets", "values"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))  # YAML and JSON have lists
        counts = {len(self.thresholds), len(self.resets), len(self.values)}
        check(len(counts) == 1, "thresholds, resets and values must be as many")

    def as_dict(self) -> dict[str, Any]:
        """Name and parameters; coefficients as lists."""
        lists = {name: list(getattr(self, name)) for name in ("thresholds", "resets", "values")}
        return super().as_dict() | lists

    @property
    def resolution(self) -> float:
        """Largest error on calibration images, where a function is approximated."""
        return self.error

    @property
    def alphabet(self) -> Alphabet:
        """Weights that depend on the step."""
        return "weighted"

    @property
    def worth(self) -> str:
        """Coefficients."""
        return "halves from step to step (a synapse shifts, then adds); fitted numbers for functions but ReLU"

    @property
    def both_signs(self) -> Neuron:
        """The same: weights may be negative."""
        return self

    def levels_in(self, time_steps: int) -> int:
        """2^K - 1."""
        return int(2**time_steps - 1)

    def delay(self, time_steps: int) -> int:
        """The window itself."""
        return time_steps

    def latency(self, time_steps: int, depth: int) -> int:
        """K steps for each layer, one layer after the other."""
        return time_steps * max(depth, 1)

    def constant(self, charge: Tensor, initial: Tensor | float, time_steps: int) -> Tensor:
        """K clip(floor(2^K z + v0) / 2^K, 0, 1 - 2^-K) of a ReLU, for z = charge / K."""
        steps, most = float(time_steps), float(self.levels_in(time_steps))
        return (charge * ((most + 1) / steps) + initial).floor().clamp(0, most) * (steps / (most + 1))

    @property
    def needs_sum_alone(self) -> bool:
        """It waits for the whole window."""
        return True

    def scan(self, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of one whole window; see `Neuron.scan`."""
        constant = current.shape[0] == 1
        total = current[0].double() * steps if constant else current.sum(0, dtype=torch.float64)
        return self.window(total, steps, state)

    def window(self, total: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        """Spikes of a whole window; see `Neuron.window`.

        Raises:
            ValueError: the coefficients are for another number of steps.
        """
        if self.thresholds:
            check(len(self.thresholds) == steps, f"fitted for {len(self.thresholds)} steps, got {steps}")
            table = list(zip(self.thresholds, self.resets, self.values, strict=True))
        else:
            table = [(2.0**-t,) * 3 for t in range(1, steps + 1)]
        v = total.double() / steps
        if not self.thresholds:  # an initial membrane counts in lowest digits: 1/2 rounds to the nearest
            v = v + state["v"] * 2.0**-steps
        spikes = torch.empty((steps, *total.shape), dtype=state["v"].dtype, device=total.device)
        for t, (threshold, reset, value) in enumerate(table):
            fires = v >= threshold
            spikes[t] = fires * (steps * value)
            v = v - fires * reset
        return spikes, {"v": v.to(spikes.dtype)}

    def events(self, spikes: Tensor) -> Tensor:
        """One event, whatever its step makes it stand for."""
        return (spikes != 0).to(spikes.dtype)
