"""What an archive of records has to be before it may stand on the boards as a claim.

Every rule is a function that answers with lines for whoever hands it in: what is wrong, and where. They are
called by `spikemark validate`, which people run at home and a workflow runs for pull requests.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import energy
from energy import NotMeasured
from leaderboard.files.atomic import StoreError
from leaderboard.ranking.rows import row_of
from leaderboard.records.record import Point, Record
from leaderboard.reference.fitness import KnowsCommit, unfit
from leaderboard.statistics.energies import network_of, run_of
from leaderboard.statistics.figures import readouts
from leaderboard.store.archive import unpack
from leaderboard.store.results import ResultStore

ROOM = 1e-3  # relative; figures are sums and means of many floats
LONGEST_NAME = 100  # characters of a name, in a row of a board
SMALL_RATE = 1e-6  # spikes of a neuron and step; one spike in a million steps
COUNTED = (
    "binary",
    "burst",
    "signed",
)  # alphabets whose spikes are whole, so that counts have a largest value


def read_submission(archive: Path) -> list[Record]:
    """The records of an archive, after everything that `spikemark import` looks at.

    Raises:
        StoreError: it is damaged, forged, too large, or a record in it is not sound; says which, and how to
            write it anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            unpack(archive, Path(folder))
        except StoreError as error:
            again = "To write it anew, where its results folder is: spikemark export --out ARCHIVE"
            raise StoreError(f"{error}\n{again}") from error
        return ResultStore(folder).load().records


def problems(
    records: Sequence[Record],
    known: Mapping[str, str],
    base: Sequence[Record] = (),
    knows: KnowsCommit = lambda commit: None,
) -> list[str]:
    """What is wrong with a submission, one line each; empty where nothing is.

    Args:
        records: of the archive.
        known: cell id -> name of the other archive that holds it already.
        base: of the archive that this one replaces.
        knows: whether a commit belongs to the history of this repository.
    """
    found = [] if records else ["the archive holds no records"]
    for record in records:
        name = f"cell {record.cell_id} ({record.method.label} on {record.dataset}, {record.network})"
        found += [f"{name}: {why}" for why in _of_one(record, known, knows)]
    return [*found, *_lost(records, base)]


def _of_one(record: Record, known: Mapping[str, str], knows: KnowsCommit) -> Iterator[str]:
    if why := unfit(record, knows):
        yield why
    yield from _names(record)
    if record.cell_id in known:
        yield f"is in {known[record.cell_id]} already; leave it out"
    if not record.provenance.data.get("test"):
        yield "does not say which test images it was measured on"
    yield from implausible(record)


def _names(record: Record) -> Iterator[str]:
    """Names that a row of a board cannot show."""
    names = {
        "dataset": record.dataset,
        "network": record.network,
        "method.name": record.method.name,
        "method.label": record.method.label,
    }
    for field, name in names.items():
        if not name.strip():
            yield f"{field} is empty; say a name in the matrix"
        elif not name.isprintable():
            yield f"{field} holds signs that cannot be seen; say a plain name in the matrix"
        elif len(name) > LONGEST_NAME:
            yield f"{field} has {len(name)} characters, more than {LONGEST_NAME}; shorten it in the matrix"


def implausible(record: Record) -> Iterator[str]:
    """Counts that no network of this kind can have, and energies that do not follow from the counts."""
    most = record.method.max_per_step if record.method.alphabet in COUNTED else None
    units = {source.name: source.units for source in record.sources}
    for point in record.curve:
        where = f"at t={point.t}"
        for name, sent in point.spikes.items():
            rate, stated = sent / (units[name] * point.t_total), point.rates.get(name, 0.0)
            if not math.isclose(rate, stated, rel_tol=ROOM, abs_tol=ROOM * SMALL_RATE):
                yield f"{where} rates.{name} is {stated:.6g}, but its spikes give {rate:.6g}"
            if most is not None and sent > units[name] * point.t_total * most * (1 + ROOM):
                yield f"{where} {name} sends {sent:.6g} spikes, more than its {units[name]} units can"
        for layer in record.layers:
            if layer.sources is None or layer.outputs is None:
                continue
            arriving = math.fsum(point.spikes.get(source, 0.0) for source in layer.sources)
            operations = point.synops.get(layer.name, 0.0)
            if operations > arriving * layer.outputs * (1 + ROOM):  # a spike reaches each output once
                yield f"{where} {layer.name} has {operations:.6g} SynOps, more than its spikes can cause"
        yield from _energies(record, point, where)
    yield from _of_ann(record)
    yield from _shrinking(record)


def _shrinking(record: Record) -> Iterator[str]:
    """Spikes up to t only grow with t; where the network is fitted for each T, they are those of several."""
    if row_of([record]).one_network_for_each_t or record.method.alphabet == "none":
        return
    points = readouts(record)
    for before, after in pairwise(points):
        one, other = math.fsum(before.spikes.values()), math.fsum(after.spikes.values())
        if other < one * (1 - ROOM):
            yield f"at t={after.t} fewer spikes were sent than at t={before.t} ({other:.6g}, {one:.6g})"


def _energies(record: Record, point: Point, where: str) -> Iterator[str]:
    """Energies that the record states and its counts do not give."""
    network = network_of(record)
    for name in sorted(set(point.energy_pj) & set(energy.models())):
        try:
            run = run_of(record, point)
            computed = energy.energies(network, run, [energy.by_name(name)]).get(name)
        except NotMeasured:
            continue
        stated = point.energy_pj[name]
        if computed is not None and not math.isclose(stated, computed, rel_tol=ROOM, abs_tol=ROOM):
            yield f"{where} energy_pj.{name} is {stated:.6g}, but its counts give {computed:.6g}"


def _of_ann(record: Record) -> Iterator[str]:
    """Figures of the ANN, which every ratio divides by, that its layers do not give."""
    macs = math.fsum(layer.macs for layer in record.layers)
    if not math.isclose(record.ann.macs, macs, rel_tol=ROOM):
        yield f"ann.macs is {record.ann.macs:.6g}, but its layers have {macs:.6g}"
    models = [energy.by_name(name) for name in sorted(set(record.ann.energy_pj) & set(energy.models()))]
    computed = energy.ann_energies(network_of(record), models)
    for name, found in computed.items():
        stated = record.ann.energy_pj[name]
        if not math.isclose(stated, found, rel_tol=ROOM, abs_tol=ROOM):
            yield f"ann.energy_pj.{name} is {stated:.6g}, but its layers give {found:.6g}"


def _lost(records: Sequence[Record], base: Sequence[Record]) -> Iterator[str]:
    """Cells that the archive had and lacks now: results do not vanish."""
    here = {record.cell_id for record in records}
    for record in base:
        if record.cell_id not in here:
            yield f"cell {record.cell_id} ({record.method.label}) was in the archive before and is lost"
