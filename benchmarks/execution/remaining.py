"""How long cells will still take, from those that were measured: for runs, and for who watches them.

Knows cells by their kind alone, so that `spikemark status` answers without PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.coordination.kinds import CLOSE, Kind
from benchmarks.execution.times import in_words


@dataclass(frozen=True)
class Left:
    """What is still to be waited for.

    Attributes:
        seconds: where all that runs at once goes on to run.
        at_least: it may be more: a cell is of a kind that has not been measured, or runs longer than others.
    """

    seconds: float
    at_least: bool

    def __str__(self) -> str:
        if self.at_least and self.seconds < 1:
            return "longer than cells before"
        return f"{'at least' if self.at_least else 'about'} {in_words(self.seconds)} left"


@dataclass
class Measured:
    """Seconds of cells that ran, and what they say of others."""

    _found: dict[tuple[str | bool, ...], list[float]] = field(default_factory=dict)  # for each forward

    def add(self, kind: Kind, seconds: float) -> None:
        """A cell took so long."""
        for key in kind.keys:
            self._found.setdefault(key, []).append(seconds / kind.forwards)

    def remaining(self, kinds: Iterable[Kind]) -> float | None:
        """Seconds of work in cells, from the cells that are most like them; None before any was measured."""
        if not self._found:
            return None
        return sum(self._of(kind)[0] for kind in kinds)

    def left(
        self, cells: Iterable[tuple[str, Kind]], elapsed: Mapping[str, float], at_once: int
    ) -> Left | None:
        """What is left of cells that run or wait; None before any was measured, or where there are none.

        Args:
            cells: id and kind of those without a record.
            elapsed: cell id -> seconds that it has run so far.
            at_once: how many run at a time, where there are so many.
        """
        waiting = list(cells)
        if not self._found or not waiting:
            return None
        single, at_least = [], False
        for id_, kind in waiting:
            expected, alike = self._of(kind)
            ran = elapsed.get(id_, 0.0)
            single.append(max(expected - ran, 0.0))
            at_least |= ran > expected or not alike
        shared = sum(single) / min(max(at_once, 1), len(single))
        return Left(max(shared, *single), at_least)

    def _of(self, kind: Kind) -> tuple[float, bool]:
        """Seconds of a cell, and whether cells fitted as it is were measured on its network."""
        key = next(key for key in kind.keys if key in self._found)
        rates = self._found[key]
        return sum(rates) / len(rates) * kind.forwards, len(key) == CLOSE
