"""Times of several simulators that take turns on one work, and what they say about each other."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.contenders import BASELINE, spikingjelly
from benchmarks.speed.plain_loop import PlainLoop
from benchmarks.speed.work import Work
from conversion import ConversionError, SpikingNetwork, convert
from conversion.simulation.backend import PRECISIONS, Precision
from conversion.simulation.choice import REFERENCE, backend_for, use

LOOP = "plain loop"
UNCOMPILED = "uncompiled"
ANN = "ANN"
Run = Callable[[Tensor, int], Any]  # (images, time steps) -> mean output


@dataclass(frozen=True)
class Row:
    """One network with one recipe and batch.

    Attributes:
        network: name in the zoo.
        recipe: preset.
        images: that are simulated together.
        time_steps: T.
        seconds: contender -> least time of a turn; of the ANN, of one forward pass.
        ran: kernel -> layers that it ran, in float32.
        refused: why there are no times; None where there are.
    """

    network: str
    recipe: str
    images: int
    time_steps: int
    seconds: Mapping[str, float]
    ran: Mapping[str, int]
    refused: str | None = None

    def ratio(self, contender: str) -> float | None:
        """How many times as fast as the plain loop a contender is; None where it did not take part."""
        took = self.seconds.get(contender)
        return None if took is None else self.seconds[LOOP] / took

    def as_json(self) -> dict[str, Any]:
        """Plain data, with ratios to the plain loop."""
        ratios = {name: self.ratio(name) for name in self.seconds if name not in (LOOP, ANN)}
        return {**asdict(self), "ratios": ratios}


def geometric_mean(numbers: Sequence[float]) -> float:
    """Of at least one number above zero."""
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def row_of(
    work: Work,
    recipe: str,
    time_steps: int,
    rounds: int,
    precisions: Iterable[Precision],
    uncompiled: bool = True,
    others: bool = True,
) -> Row:
    """Let contenders take turns and keep the least time of each: what neighbours of a core did is left out.

    Args:
        work: network and images.
        recipe: preset.
        time_steps: T.
        rounds: turns of each.
        precisions: of our weights.
        uncompiled: let our simulator without kernels take part, in float32.
        others: let other packages take part, too.
    """
    case = (work.name, recipe, len(work.images), time_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            snn = convert(work.network, recipe, work.calibration)
        except ConversionError as error:
            return Row(*case, {}, {}, str(error).splitlines()[0])
    assert isinstance(snn, SpikingNetwork)
    taking_part = _contenders(work, snn, precisions, uncompiled, others and recipe == "opi")
    seconds = dict.fromkeys(taking_part, float("inf"))
    for turn in range(rounds + 1):
        for name, run in taking_part.items():
            took = _seconds(run, work.images, 1 if name == ANN else time_steps)
            if turn:  # the first is to warm up
                seconds[name] = min(seconds[name], took)
    *_, last = snn.simulate(work.images, (1,))
    return Row(*case, seconds, last.ran.layers)


def _contenders(
    work: Work, snn: SpikingNetwork, precisions: Iterable[Precision], uncompiled: bool, others: bool
) -> dict[str, Run]:
    network = work.network.to(memory_format=torch.channels_last)
    pixels = work.images.contiguous(memory_format=torch.channels_last)
    found: dict[str, Run] = {ANN: lambda images, steps: network(pixels), LOOP: PlainLoop(snn)}
    backend = backend_for(work.images)
    for precision in precisions:
        if backend.runs(precision):
            found[precision] = _spikemark(snn, precision)
    if uncompiled and backend.kernels:
        found[UNCOMPILED] = _spikemark(snn, "float32", compiled=False)
    if others and find_spec("spikingjelly") is not None:
        found |= _if_it_converts(work)
    return found


def _if_it_converts(work: Work) -> dict[str, Run]:
    """SpikingJelly, where it converts this network and the result runs."""
    try:
        run = spikingjelly(work)
        run(work.images[:1], 1)
    except Exception:  # it raises many types; all mean that it does not take part
        return {}
    return {BASELINE: run}


def _spikemark(snn: SpikingNetwork, precision: Precision, compiled: bool = True) -> Run:
    def run(images: Tensor, steps: int) -> Any:
        with nullcontext() if compiled else use(REFERENCE):
            *_, last = snn.simulate(images, (steps,), precision=precision)
        return last.output

    return run


def _seconds(run: Run, images: Tensor, steps: int) -> float:
    """What one call takes: of a single thread its own time, whoever else has the core in between."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    with torch.inference_mode():
        started = clock()
        run(images, steps)
        return clock() - started


__all__ = ["ANN", "LOOP", "PRECISIONS", "UNCOMPILED", "Row", "geometric_mean", "row_of"]
