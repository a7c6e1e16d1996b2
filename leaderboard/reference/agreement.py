"""Whether a cell that was measured again gives what its record states.

reproduced              every metric, spike count and outcome of an image is the same
within the interval     every metric is inside the 95 % interval of the stated one, and about as many spikes
                        are sent: what other processors and other versions of libraries may do
not                     anything else, or another network, other test images, another cell
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leaderboard.files.atomic import write_text_atomically
from leaderboard.files.plain_files import read_plain
from leaderboard.records.fields import Commit, Line, Text, Time
from leaderboard.records.record import Frozen, Point, Record
from leaderboard.statistics.figures import readouts, snn_scores
from leaderboard.statistics.resampling import metric_interval

Verdict = Literal["reproduced", "within the interval", "not"]
EXACT = 1e-6  # relative; sums of floats in another order
SPIKES = 0.05  # relative; SynOps that are still those of the same network


@dataclass(frozen=True)
class Agreement:
    """What came of measuring a cell again."""

    verdict: Verdict
    why: str  # the first figure that differs, and by how much; "" where none does

    @property
    def holds(self) -> bool:
        """Whether the record stands."""
        return self.verdict != "not"


def agreement(stated: Record, again: Record) -> Agreement:
    """Compare two records of one cell.

    Args:
        stated: what is claimed.
        again: what was measured now.
    """
    if stated.cell_id != again.cell_id:
        return Agreement("not", f"cell {again.cell_id} is another one")
    if stated.benchmark_version != again.benchmark_version:
        versions = f"{stated.benchmark_version} and {again.benchmark_version}"
        return Agreement("not", f"versions {versions} of the benchmark do not compare")
    same_network = stated.ann.checkpoint_sha256 == again.ann.checkpoint_sha256
    if not same_network and not _trained_by_the_cell(stated):
        hashes = f"{again.ann.checkpoint_sha256[:12]}, not {stated.ann.checkpoint_sha256[:12]}"
        return Agreement("not", f"it was another trained network: {hashes}")
    prints = [record.provenance.data.get("test") for record in (stated, again)]
    if prints[0] != prints[1]:
        return Agreement("not", f"the test images were others: {prints[1]}, not {prints[0]}")
    if [point.t for point in readouts(stated)] != [point.t for point in readouts(again)]:
        return Agreement("not", "it was read out at other time steps")
    pairs = list(zip(readouts(stated), readouts(again), strict=True))
    differs = next((why for one, other in pairs if (why := _difference(stated, one, other))), "")
    if not differs and same_network and stated.outcomes == again.outcomes:
        return Agreement("reproduced", "")
    too_far = next((why for one, other in pairs if (why := _beyond(stated, one, other))), "")
    if too_far:
        return Agreement("not", too_far)
    return Agreement("within the interval", differs or "single images came out otherwise")


def _trained_by_the_cell(record: Record) -> bool:
    """Whether the cell trains its network: on other machines that ends with other weights."""
    ann = record.config.get("ann")
    return isinstance(ann, dict) and "training" in ann


def _difference(record: Record, stated: Point, again: Point) -> str | None:
    figures = {
        record.metric: (stated.metrics[record.metric], again.metrics[record.metric]),
        "t_total": (stated.t_total, again.t_total),
        "SynOps": (math.fsum(stated.synops.values()), math.fsum(again.synops.values())),
    }
    for name, (one, other) in figures.items():
        if not math.isclose(one, other, rel_tol=EXACT, abs_tol=EXACT):
            return f"{name} at t={stated.t}: {other:.6g}, stated {one:.6g}"
    return None


def _beyond(record: Record, stated: Point, again: Point) -> str | None:
    scores = snn_scores(record, stated.t)
    one, other = stated.metrics[record.metric], again.metrics[record.metric]
    if scores is None:
        low = high = one
    else:
        interval = metric_interval([scores])
        low, high = min(one, interval.low), max(one, interval.high)
    if not low - EXACT <= other <= high + EXACT:
        return f"{record.metric} at t={stated.t}: {other:.6g}, outside of {low:.6g} to {high:.6g}"
    spikes, now = math.fsum(stated.synops.values()), math.fsum(again.synops.values())
    if not math.isclose(spikes, now, rel_tol=SPIKES):
        return f"SynOps at t={stated.t}: {now:.6g}, stated {spikes:.6g}"
    return None


class Reproduction(Frozen):
    """That somebody measured a cell again: RESULTS/reproductions/CELL.json."""

    cell_id: str
    verdict: Verdict
    why: Line
    created: Time
    git_commit: Commit | None
    device: Text


Reproductions = dict[str, Reproduction]


def reproduction_of(stated: Record, again: Record) -> Reproduction:
    """What is kept of measuring a cell again."""
    found, origin = agreement(stated, again), again.provenance
    return Reproduction(
        cell_id=stated.cell_id,
        verdict=found.verdict,
        why=found.why,
        created=origin.created,
        git_commit=origin.git_commit,
        device=origin.device,
    )


def write_reproduction(results: Path, found: Reproduction) -> Path:
    """Keep it in a results folder.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = results / "reproductions" / f"{found.cell_id}.json"
    write_text_atomically(path, json.dumps(found.model_dump(), indent=1, ensure_ascii=False) + "\n")
    return path


def load_reproductions(results: Path) -> Reproductions:
    """Cell id -> what came of measuring it again; files that hold something else are passed over."""
    found: Reproductions = {}
    for path in sorted((results / "reproductions").glob("[!.]*.json")):
        try:
            one = Reproduction.model_validate_json(read_plain(path))
        except (OSError, ValueError):
            continue
        if path.stem == one.cell_id:
            found[one.cell_id] = one
    return found
