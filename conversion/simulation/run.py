"""The loop over time: a batch is cut into parts, which take turns, and is read out at given steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from conversion.costs.synapses import Connectivity
from conversion.costs.tally import SpikeTally
from conversion.graph.operations import Kind
from conversion.outputs import Ran, Readout, activity_of, added, decoded, joined, of_all_images, summed
from conversion.plan.fitted import Fitted
from conversion.plan.window import Window
from conversion.signals.signals import Signal, map_structure
from conversion.simulation.backend import Backend, Clock, Precision, Running, Schedule
from conversion.simulation.choice import backend_for, effective_precision, wanted_schedule
from conversion.simulation.memory import fit_into
from conversion.simulation.probe import LEAST_CHUNKS, Probe
from conversion.simulation.progress import tell


@dataclass
class SimulationCache:
    """What simulations of one network keep between calls: choices of schedules, and packed weights.

    Attributes:
        probe: choices of schedules.
        prepared: (backend, precision) -> (weights that were packed, what they became).
        clocks: of chunks, by backend and device.
    """

    probe: Probe
    prepared: dict[tuple[str, Precision], tuple[Any, Any]] = field(default_factory=dict)
    clocks: dict[tuple[str, torch.device], Clock] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Simulation:
    """One call of `simulate`: a network as it is now, a backend, a precision.

    Attributes:
        fitted: what runs.
        wiring: synapses, for images of this size.
        window: which steps a read-out averages.
        backend: runs the layers.
        precision: of the weights that spikes meet.
        chunk: most time steps that go through a layer at once.
        memory_mib: budget, or none.
        cache: what is kept between calls.
        weights: tensors whose change makes packed weights stale.
    """

    fitted: Fitted
    wiring: Connectivity
    window: Window
    backend: Backend
    precision: Precision
    chunk: int
    memory_mib: float | None
    cache: SimulationCache
    weights: Sequence[Tensor]

    @classmethod
    def of(cls, images: Tensor, precision: Precision, **settings: Any) -> Simulation:
        """A run by the backend that suits these images, in the precision that it has."""
        precision = effective_precision(images, precision)
        return cls(backend=backend_for(images), precision=precision, **settings)

    def readouts(self, images: Tensor, steps: list[int]) -> Generator[Readout, None, None]:
        """Read-outs at the given steps, in order; whole windows are run again for each of them."""
        if self.fitted.whole_window:
            for t in steps:
                yield from self._within_budget(images, [t], t)
        else:
            yield from self._within_budget(images, steps, self.chunk)

    def _within_budget(
        self, images: Tensor, readouts: list[int], chunk: int
    ) -> Generator[Readout, None, None]:
        """Run all images at once, or as many as the budget holds, one group after the other."""
        together = len(images)
        if self.memory_mib is not None and together:
            together, chunk = self._cut(images, chunk)
        groups = images.split(together or 1)
        if len(groups) == 1:
            yield from self._together(images, readouts, chunk)
            return
        runs = [list(self._together(group, readouts, chunk)) for group in groups]
        for parts in zip(*runs, strict=True):
            yield of_all_images(parts, [len(group) for group in groups], self.fitted.plan.of_images)

    def _cut(self, images: Tensor, chunk: int) -> tuple[int, int]:
        """How many images and time steps the budget holds."""
        need = self.backend.footprint(self.fitted, self.wiring.values)

        def at_once(count: int, steps: int) -> int:
            return self._by_rule(images[:count], steps).images

        assert self.memory_mib is not None
        return fit_into(self.memory_mib, need, len(images), chunk, at_once, self.fitted.whole_window)

    def _together(self, images: Tensor, readouts: list[int], chunk: int) -> Generator[Readout, None, None]:
        """One simulation, read out at the given steps."""
        plan = self.fitted.plan
        coding, of_images = plan.neuron.coding, plan.of_images
        schedule = self._schedule(images, readouts[-1], chunk)
        parts = images.split(schedule.images)
        tally = SpikeTally(self.wiring.groups, self.wiring.sizes)
        running = self._start(parts, schedule, tally)
        totals: list[Any] = [None] * len(parts)
        rest = joined([one.begin() for one in running], of_images)
        starts = {t: self.window.start(t) for t in readouts}
        at: dict[int, Any] = {}  # weighted sums up to the steps where windows start
        clock = self.cache.clocks.setdefault((self.backend.name, images.device), self.backend.clock(images))
        now = 0
        for stop in sorted({*readouts, *starts.values()} - {0}):
            while now < stop:
                steps = min(schedule.chunk, stop - now)
                clock.begin()
                weights = coding.weights(now, steps)
                for index, one in enumerate(running):
                    output = one.advance(steps)
                    totals[index] = _accumulated(totals[index], output, steps, weights)
                    del output  # before the next chunk runs
                now += steps
                tell(len(images) * steps)
                clock.end(self.wiring.macs * len(images) * steps)
                for seconds, operations in clock.finished():
                    self.cache.probe.note(seconds, operations)
            total = joined(totals, of_images)
            if stop in starts.values():
                at[stop] = total
            if stop in starts:
                start = starts[stop]
                if start:
                    total = added(total, map_structure(torch.neg, Tensor, at[start]))
                mean = decoded(coding, total, rest, stop - start)
                activity = activity_of(tally.maps, self.wiring, len(images))
                yield Readout(stop, stop - start, plan.steps_run(stop), mean, activity, self._ran(running))

    def _ran(self, running: Sequence[Running]) -> Ran:
        """Who ran it, with the layers that each kernel ran in some part of the batch."""
        ran = {pair for one in running for pair in one.ran.items()}
        kernels = Counter(kernel for _, kernel in ran)
        weighted = {role.name for role in self.fitted.plan.roles.values() if role.kind is Kind.WEIGHTED}
        precision = self.backend.used({kernel for name, kernel in ran if name in weighted}, self.precision)
        return Ran(self.backend.name, precision, dict(kernels))

    def _start(self, parts: Sequence[Tensor], schedule: Schedule, tally: SpikeTally) -> list[Running]:
        """Parts of one batch at their beginning."""
        return self.backend.start(self._prepared(), parts, schedule, tally, self.memory_mib is not None)

    def _prepared(self) -> Any:
        """What the backend makes of the weights; again where one that it has packed has changed."""
        if not self.backend.packs_weights:
            return self.backend.prepare(self.fitted, self.precision)
        found = tuple((tensor.data_ptr(), tensor._version) for tensor in self.weights)
        ours = (self.backend.name, self.precision)
        if ours not in self.cache.prepared or self.cache.prepared[ours][0] != found:
            kept = {one: pair for one, pair in self.cache.prepared.items() if pair[0] == found}
            kept[ours] = (found, self.backend.prepare(self.fitted, self.precision))
            self.cache.prepared = kept
        return self.cache.prepared[ours][1]

    def _by_rule(self, images: Tensor, chunk: int) -> Schedule:
        """The backend's first choice."""
        return wanted_schedule() or self.backend.schedules(self.fitted, images, chunk, self.precision)[0]

    def _schedule(self, images: Tensor, last: int, chunk: int) -> Schedule:
        """The backend's first choice, or a faster one that was measured; see `simulation.probe`."""
        wanted = wanted_schedule()
        if wanted is not None:
            return wanted
        options = self.backend.schedules(self.fitted, images, chunk, self.precision)
        fixed = self.fitted.whole_window or self.memory_mib is not None
        if fixed or not self.backend.can_time(images) or not len(images):
            return options[0]
        operations = self.wiring.macs * len(images) * last
        situation = (tuple(images.shape[1:]), images.dtype, self.precision)
        timing = partial(self._timed, images)
        return self.cache.probe.choose(self.backend, options, operations, situation, timing)

    def _timed(self, images: Tensor, schedule: Schedule, budget: float) -> float:
        """Seconds for one image and step; nothing of this simulation is kept."""
        part = images[: schedule.images]
        tally = SpikeTally(self.wiring.groups, self.wiring.sizes)
        times: list[float] = []
        with torch.random.fork_rng(devices=[]):
            (running,) = self._start([part], schedule, tally)
            running.begin()
            while len(times) < LEAST_CHUNKS or sum(times) + times[-1] < budget:
                self.backend.wait(images)
                started = time.perf_counter()
                running.advance(schedule.chunk)
                self.backend.wait(images)
                times.append(time.perf_counter() - started)
        return min(times[1:]) / (len(part) * schedule.chunk)  # the first also computes what is constant


def _accumulated(total: Any, output: Any, steps: int, weights: Tensor | None) -> Any:
    """A sum over time with the output of more steps; None is the sum of nothing."""
    charge = map_structure(partial(summed, steps, weights), Signal, output)
    return charge if total is None else added(total, charge)
