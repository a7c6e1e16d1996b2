"""Finds the fastest schedule of a network on this machine by trying a few, once.

A choice never changes what neurons send (see `backend`), so an old, shared or missing one does no harm. The
probe runs when the work ahead would take about a hundred times as long; the choice is kept in
the user's cache folder, one small file for each machine, network and way of simulating.
SPIKEMARK_PROBE=0 switches it off, and the rule decides.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from conversion.neurons import Neuron
from conversion.plan.plan import Plan
from conversion.simulation import processor
from conversion.simulation.backend import Backend, Schedule
from conversion.simulation.caching import cache_folder, read_kept

SHARE = 0.01  # of the work ahead that a probe may take
LEAST_SECONDS, MOST_SECONDS = 0.4, 1.0  # of one probe; less could not tell candidates apart
GAIN = 0.95  # time, relative to the rule's, from which on another candidate is better
LEAST_CHUNKS = 2  # simulated for each candidate: the first also computes what is constant
MACS_PER_SECOND = 1e11  # of one thread, before anything was timed

Timing = Callable[[Schedule, float], float]  # (candidate, seconds to spend) -> seconds an image and step


class Probe:
    """Choices for one network, and how long it has run.

    Args:
        plan: the converted network.
        neurons: by layer.
    """

    def __init__(self, plan: Plan, neurons: Mapping[str, Neuron]) -> None:
        self._plan = plan
        self._neurons = neurons
        self._chosen: dict[str, Schedule] = {}
        self._unknown: set[str] = set()  # nothing is kept on disk, as far as this process knows
        self._seconds = 0.0
        self._operations = 0.0

    def note(self, seconds: float, operations: float) -> None:
        """Record how long it took to simulate `operations` multiply-accumulates of the ANN, times steps."""
        self._seconds += seconds
        self._operations += operations

    def expected(self, operations: float) -> float:
        """Seconds that will be spent: on this work, and on as much as there was already."""
        if self._operations:
            return self._seconds * (1 + operations / self._operations)
        return operations / (MACS_PER_SECOND * torch.get_num_threads())

    def choose(
        self,
        backend: Backend,
        options: Sequence[Schedule],
        operations: float,
        situation: Sequence[Any],
        timing: Timing,
    ) -> Schedule:
        """The fastest of several schedules, where it is known, or worth a measurement.

        Args:
            backend: that runs the schedules.
            options: the first is the rule's, which is taken where nothing better is known.
            operations: multiply-accumulates of the ANN times steps that are ahead.
            situation: what else the choice depends on: size of images, precision.
            timing: times a schedule.
        """
        if os.environ.get("SPIKEMARK_PROBE", "1") == "0" or len(options) < 2:
            return options[0]
        threads = torch.get_num_threads()
        asked = repr((backend.name, threads, *situation, *options))
        if asked in self._chosen:
            return self._chosen[asked]
        seconds = self.expected(operations) * SHARE
        worth = seconds >= LEAST_SECONDS
        if asked in self._unknown and not worth:
            return options[0]
        key = self._key(backend, asked)
        found = _read(key, options)
        if found is None and worth:
            found = _fastest(options, min(seconds, MOST_SECONDS), timing)
            _write(key, found)
        if found is None:
            self._unknown.add(asked)
            return options[0]
        self._chosen[asked] = found
        return found

    def _key(self, backend: Backend, asked: str) -> dict[str, str]:
        """All that a choice depends on."""
        return {
            "machine": processor.fingerprint(),
            "network": self._network,
            "asked": asked,
            "backend": backend.fingerprint,
            "torch": torch.__version__,
        }

    @cached_property
    def _network(self) -> str:
        """Hash of the network's structure; weights do not matter."""
        parts = [
            f"{node.op} {node.target} {[source.name for source in node.all_input_nodes]} "
            f"{tuple(self._plan.shapes.get(node, ())[1:])}"
            for node in self._plan.captured.graph.nodes
        ]
        parts += [f"{name}: {neuron}" for name, neuron in self._neurons.items()]
        parts += [f"{name}: {module}" for name, module in self._plan.captured.named_children()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _fastest(options: Sequence[Schedule], budget: float, timing: Timing) -> Schedule:
    """Time the options one after another until the budget is spent."""
    started = time.perf_counter()
    best, least, rules = options[0], 0.0, 0.0
    for option in options:
        left = budget - (time.perf_counter() - started)
        if rules * option.images * option.chunk * LEAST_CHUNKS > left:
            continue  # would take too long, even if it were as fast as the rule
        seconds = timing(option, budget / len(options))
        if option is options[0]:
            rules, least = seconds, seconds * GAIN
        elif seconds < least:
            best, least = option, seconds
    return best


def _file(key: Mapping[str, str]) -> Path:
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / f"schedule-{name}.json"


def _read(key: Mapping[str, str], options: Sequence[Schedule]) -> Schedule | None:
    """The choice that was kept for this key; None where there is none, or the file is damaged."""
    try:
        kept = json.loads(read_kept(_file(key)))
        found = Schedule(**kept["schedule"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if kept.get("key") != key:
        return None
    return next((option for option in options if option == found), None)  # not 8.0 for 8


def _write(key: Mapping[str, str], found: Schedule) -> None:
    """Keep a choice, whole or not at all; a folder that cannot be written is no failure."""
    try:
        target = _file(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            unfinished = Path(scratch) / target.name
            unfinished.write_text(json.dumps({"key": key, "schedule": asdict(found)}, indent=2) + "\n")
            os.replace(unfinished, target)
    except OSError:
        return
