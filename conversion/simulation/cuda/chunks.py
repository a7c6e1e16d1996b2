"""A part of a batch on its way through the network on a GPU."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from conversion.signals.signals import Signal, map_structure
from conversion.simulation.cuda.graphs import SWITCH, Recorder, Replay
from conversion.simulation.walk import Walk, WalkState

# Chunks that are launched before one is recorded: they compile kernels, and compute what is constant.
FIRST = 2


class Chunks:
    """Runs a walk, in the precision that its tensors have; chunks that repeat are recorded and replayed.

    PyTorch rounds float32 to 11 significant bits in convolutions on GPUs (TF32) unless it is told otherwise.

    Args:
        walk: the part.
        progress: of the walk.
        recorder: records chunks; None where each is launched anew.
    """

    def __init__(self, walk: Walk, progress: WalkState, recorder: Recorder | None = None) -> None:
        self._walk = walk
        self._progress = progress
        self._recorder = recorder
        self._launched: Counter[int] = Counter()  # steps -> chunks of so many steps
        self._recorded: dict[int, Replay] = {}

    @property
    def ran(self) -> Mapping[str, str]:
        """Which kernel ran each layer, by the layer's name."""
        return self._walk.ran

    def begin(self) -> Any:
        """Run the steps before the read-out; see `Running`."""
        with exact_float32():
            return self._walk.begin()

    def advance(self, steps: int) -> Any:
        """Run more steps; see `Running`."""
        with exact_float32():
            if self._recorder is not None and steps not in self._recorded and self._launched[steps] >= FIRST:
                self._record(self._recorder, steps)
            if steps in self._recorded:
                output = self._recorded[steps]()
                self._progress.done += steps
                return map_structure(_kept, Signal, output)  # the next replay writes to the same memory
            self._launched[steps] += 1
            return self._walk.advance(steps)

    def _record(self, recorder: Recorder, steps: int) -> None:
        """Record a chunk, or give recording up: nothing has run by then, so the chunk can be launched."""
        try:
            self._recorded[steps] = recorder(partial(self._walk.run, steps))
        except RuntimeError as error:
            self._recorder = None
            warnings.warn(
                f"a CUDA graph could not be recorded, chunks are launched one by one; {SWITCH}=0 does so "
                f"from the start: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


def _kept(signal: Signal) -> Signal:
    return Signal(signal.data.clone(), signal.steps)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Neither convolutions nor products of matrices round float32 inside."""
    switches: list[tuple[Any, str, Any]]
    if hasattr(torch.backends.cudnn, "conv"):  # since PyTorch 2.9, which refuses a mix with the older ones
        switches = [
            (torch.backends.cudnn.conv, "fp32_precision", "ieee"),
            (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
        ]
    else:
        switches = [
            (torch.backends.cudnn, "allow_tf32", False),
            (torch.backends.cuda.matmul, "allow_tf32", False),
        ]
    before = [getattr(place, name) for place, name, _ in switches]
    for place, name, exact in switches:
        setattr(place, name, exact)
    try:
        yield
    finally:
        for (place, name, _), value in zip(switches, before, strict=True):
            setattr(place, name, value)
