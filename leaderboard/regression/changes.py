"""What has moved since a baseline, from what to what, and in which room to look for the reason.

A change early in the flow of a cell moves everything after it: images move the ANN, the ANN moves spikes,
spikes move synaptic operations, energy and the metric. So of each cell only the first change in that order is
named, beside how many numbers have moved in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from leaderboard.regression.baseline import MeasuredCell, MeasuredPoint, Tolerance

# Where to look, by what has moved first.
DATA = "datamodules"
ANN = "lightning_modules (networks, metrics), or the weights"
WIRING = "conversion/costs (MACs), energy, or the network's layers"
STEPS = "conversion/readouts, exits, simulation (which steps are run and averaged)"
SHIFTED = "conversion/network, simulation (the time index is shifted)"
NEURONS = "conversion/scales, neurons, initial, corrections, simulation (threshold, reset, membrane)"
POOLS = "conversion/pooling"
FAN_OUT = "conversion/costs (fan-out, SynOps)"
ENERGY = "energy (energy models)"
METRIC = "lightning_modules (metrics), or conversion/readouts"
MATRIX = "benchmarks/matrices, or --update"


@dataclass(frozen=True)
class Move:
    """The first change of one cell."""

    cell: str
    what: str
    before: str
    after: str
    room: str
    others: int = 0  # further numbers of the cell that have moved
    score: str = ""  # what became of the metric at the last read-out; "" where a cell is new or missing


@dataclass(frozen=True)
class _Change:
    what: str
    before: float | str
    after: float | str
    room: str


def moves(
    baseline: Mapping[str, MeasuredCell], now: Mapping[str, MeasuredCell], tolerance: Tolerance
) -> list[Move]:
    """Every cell that has moved by more than the tolerance, is missing or is new; sorted by name.

    Args:
        baseline: cells by name, as they were.
        now: cells by name, as they are.
        tolerance: what does not count as a change.
    """
    found = []
    for name in sorted({*baseline, *now}):
        if name not in now:
            found.append(Move(name, "cell", "measured", "missing", MATRIX))
        elif name not in baseline:
            found.append(Move(name, "cell", "not in the baseline", "measured", MATRIX))
        else:
            changes = list(_changes(baseline[name], now[name], tolerance))
            if changes:
                first = changes[0]
                before, after = _text(first.before, first.after)
                score = _score(baseline[name], now[name])
                found.append(Move(name, first.what, before, after, first.room, len(changes) - 1, score))
    return found


def _changes(old: MeasuredCell, new: MeasuredCell, tolerance: Tolerance) -> Iterator[_Change]:
    """All changes of a cell, in the order of cause and effect."""
    for split in sorted({*old.data, *new.data}):
        before, after = old.data.get(split, "none"), new.data.get(split, "none")
        if before != after:
            yield _Change(f"{split} images", before[:12], after[:12], DATA)
    yield from _compare("ANN {}", old.ann_metrics, new.ann_metrics, tolerance.metrics, ANN, scores=True)
    known = _of_models_in(old.ann_energy_pj, new.ann_energy_pj)
    wiring = {"MACs": old.macs, **old.ann_energy_pj}, {"MACs": new.macs, **known}
    yield from _compare("ANN {}", *wiring, tolerance.energy, WIRING)
    if old.sources != new.sources:
        yield _Change("layers that spike", ", ".join(old.sources), ", ".join(new.sources), NEURONS)
    if list(old.readings) != list(new.readings):
        yield _Change("time steps", str(list(old.readings)), str(list(new.readings)), MATRIX)
    both = [t for t in old.readings if t in new.readings]
    for t in both:
        one, other = old.readings[t], new.readings[t]
        steps = (
            {"steps run": one.t_total, "steps averaged": one.averaged},
            {"steps run": other.t_total, "steps averaged": other.averaged},
        )
        yield from _compare(f"{{}} at t = {t}", *steps, tolerance.counts, STEPS)
    shifted = _is_shifted(old, new)
    for source in new.sources:
        room = SHIFTED if shifted else POOLS if source in new.pools else NEURONS
        for t in both:
            was, is_now = old.readings[t].spikes, new.readings[t].spikes
            pair = {source: was.get(source, 0.0)}, {source: is_now.get(source, 0.0)}
            yield from _compare(f"spikes of {{}} at t = {t}", *pair, tolerance.counts, room)
    for field, label, allowed, room in (
        ("synops", "SynOps of {} at t = ", tolerance.counts, FAN_OUT),
        ("energy_pj", "energy ({}) at t = ", tolerance.energy, ENERGY),
        ("metrics", "{} at t = ", tolerance.metrics, METRIC),
    ):
        for t in both:
            was, is_now = getattr(old.readings[t], field), getattr(new.readings[t], field)
            if field == "energy_pj":
                is_now = _of_models_in(was, is_now)
            yield from _compare(f"{label}{t}", was, is_now, allowed, room, scores=field == "metrics")


def _of_models_in(baseline: Mapping[str, float], energies: Mapping[str, float]) -> dict[str, float]:
    """Energies by the models that the baseline knows: a younger model changes no measurement."""
    return {model: value for model, value in energies.items() if model in baseline}


def _compare(
    label: str,
    old: Mapping[str, float],
    new: Mapping[str, float],
    allowed: float,
    room: str,
    scores: bool = False,
) -> Iterator[_Change]:
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in old or name not in new:
            yield _Change(label.format(name), old.get(name, "none"), new.get(name, "none"), room)
            continue
        size = max(abs(old[name]), abs(new[name]))
        if scores:  # a score is at most 1; figures without a bound, such as a divergence, may be larger
            size = max(size, 1.0)
        if abs(old[name] - new[name]) > allowed * size:
            yield _Change(label.format(name), old[name], new[name], room)


def _is_shifted(old: MeasuredCell, new: MeasuredCell) -> bool:
    """Whether what is measured at each step is what the baseline has one step away."""
    steps = [(a, b) for a, b in pairwise(sorted(old.readings)) if b == a + 1]
    if len(steps) < 2 or any(t not in new.readings for pair in steps for t in pair):
        return False
    ahead = [(new.readings[a], old.readings[b]) for a, b in steps]
    behind = [(new.readings[b], old.readings[a]) for a, b in steps]
    return _same_spikes(ahead) or _same_spikes(behind)


def _same_spikes(pairs: list[tuple[MeasuredPoint, MeasuredPoint]]) -> bool:
    return all(one.spikes == other.spikes for one, other in pairs) and any(one.spikes for one, _ in pairs)


def _score(old: MeasuredCell, new: MeasuredCell) -> str:
    """The first metric at the last read-out that both have."""
    both = [t for t in old.readings if t in new.readings]
    if not both:
        return ""
    was, is_now = old.readings[both[-1]].metrics, new.readings[both[-1]].metrics
    name = next((name for name in was if name in is_now), None)
    if name is None:
        return ""
    if was[name] == is_now[name]:
        return f"{name} at t = {both[-1]} stays {was[name]:.4g}"
    before, after = _text(was[name], is_now[name])
    return f"{name} at t = {both[-1]} from {before} to {after}"


def _text(before: float | str, after: float | str) -> tuple[str, str]:
    """Both values, with as many digits as tell them apart."""
    if isinstance(before, str) or isinstance(after, str):
        return str(before), str(after)
    for digits in range(4, 18):
        texts = f"{before:.{digits}g}", f"{after:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return texts
