"""Which time steps a read-out averages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A read-out at t averages the output of steps start(t) + 1 to t."""

    delay: float = 0.0  # steps until the output settles
    least: int = 0  # at fewer than delay + least steps, the last `least` steps count

    def start(self, t: int) -> int:
        """Steps left out at a read-out at t."""
        delay = round(self.delay)
        return delay if t >= delay + self.least else max(t - self.least, 0)


FROM_START = Window()
