"""Which records share a board, and why others stand beside it.

A board compares recipes, so everything else has to be the same: task, data set, network, metric, version of
the benchmark, test images, and the trained network (see `leaderboard.ranking.boards`). Reference records fix
what the same is. A record of somebody's own joins their board where it was measured on the same checkpoint
and the same test images, whatever it calls the two; else it stands beside, on a board that says what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from leaderboard.records.record import Record

Origin = Literal["own", "reference", "verified", "claimed"]
OWN: Origin = "own"

_Key = TypeVar("_Key", bound=Hashable)
_TestSet = tuple[str, int | None]


@dataclass(frozen=True)
class Family:
    """Records that share a board."""

    dataset: str
    network: str
    notes: tuple[str, ...]  # why the board stands apart from another of the same name
    records: tuple[Record, ...]

    @property
    def note(self) -> str:
        """All notes in one line."""
        return ", ".join(self.notes)


def families(records: Iterable[Record], origins: Mapping[str, Origin]) -> list[Family]:
    """Sort records into boards, by task, data set, network and metric.

    Args:
        records: one a cell.
        origins: cell id -> where its record comes from; those that are not named are one's own.
    """
    everything = list(records)
    names = _reference_names(everything, origins)

    def name(record: Record) -> tuple[str, str, str, str]:
        dataset, network = names.get(_measured_on(record), (record.dataset, record.network))
        return record.task, dataset, network, record.metric

    found = []
    for (_, dataset, network, _), named in sorted(split(everything, name).items()):
        for notes, members in _of_one_name(named, origins):
            found.append(Family(dataset, network, tuple(filter(None, notes)), tuple(members)))
    return found


def origin_of(record: Record, origins: Mapping[str, Origin]) -> Origin:
    """Where a record comes from."""
    return origins.get(record.cell_id, OWN)


def split(records: Iterable[Record], key: Callable[[Record], _Key]) -> dict[_Key, list[Record]]:
    """Records by a key, in the order in which they come."""
    parts: dict[_Key, list[Record]] = {}
    for record in records:
        parts.setdefault(key(record), []).append(record)
    return parts


def differ_by_seed(members: Sequence[Record]) -> bool:
    """Whether records of one seed started from different checkpoints."""
    by_seed = split(members, lambda record: record.seed).values()
    return any(len({r.ann.checkpoint_sha256 for r in same_seed}) > 1 for same_seed in by_seed)


def _of_one_name(
    named: list[Record], origins: Mapping[str, Origin]
) -> Iterable[tuple[list[str], list[Record]]]:
    versions = split(named, lambda record: record.benchmark_version)
    for version, same_version in sorted(versions.items()):
        about_version = f"version {version} of the benchmark" if len(versions) > 1 else ""
        tests = split(same_version, _test_set)
        known = {_test_set(record) for record in same_version if origin_of(record, origins) != OWN}
        for test, members in sorted(tests.items(), key=lambda item: str(item[0])):
            about_test = _test_note(test, known) if len(tests) > 1 else ""
            for about_ann, same_ann in _of_one_ann(members, origins):
                yield [about_version, about_test, about_ann], same_ann


def _of_one_ann(members: list[Record], origins: Mapping[str, Origin]) -> Iterable[tuple[str, list[Record]]]:
    shipped = [record for record in members if origin_of(record, origins) != OWN]
    home = {record.ann.checkpoint_sha256 for record in shipped if record.method.ann_untouched}
    own = [record for record in members if origin_of(record, origins) == OWN]
    strangers = [r for r in own if r.method.ann_untouched and r.ann.checkpoint_sha256 not in home]
    if home and strangers:
        # What was trained for conversion belongs to the networks that were trained beside it.
        strangers += [r for r in own if not r.method.ann_untouched and r.ann.checkpoint_sha256 not in home]
        beside = {record.cell_id for record in strangers}
        yield from _of_checkpoints([record for record in members if record.cell_id not in beside], "", False)
        named = ", ".join(sorted(sha256[:8] for sha256 in home))
        yield from _of_checkpoints(strangers, f"not the references' network, which is {named}", True)
    else:
        yield from _of_checkpoints(members, "", False)


def _of_checkpoints(
    members: list[Record], note: str, always_named: bool
) -> Iterable[tuple[str, list[Record]]]:
    untouched = [record for record in members if record.method.ann_untouched]
    if differ_by_seed(untouched):
        for checkpoint, group in sorted(split(members, lambda r: r.ann.checkpoint_sha256).items()):
            yield ", ".join(filter(None, [f"ANN {checkpoint[:8]}", note])), group
        return
    names = sorted({record.ann.checkpoint_sha256[:8] for record in untouched})
    ann = f"ANN {', '.join(names)}" if always_named and names else ""
    yield ", ".join(filter(None, [ann, note])), members


def _reference_names(
    records: Iterable[Record], origins: Mapping[str, Origin]
) -> dict[Hashable, tuple[str, str]]:
    """What references call the data set and the network of a checkpoint and its test images."""
    named: dict[Hashable, tuple[str, str]] = {}
    for record in records:
        known = record.provenance.data.get("test")  # without its fingerprint it could be any test set
        if known and origin_of(record, origins) != OWN and record.method.ann_untouched:
            named.setdefault(_measured_on(record), (record.dataset, record.network))
    return named


def _measured_on(record: Record) -> Hashable:
    return record.task, record.metric, record.ann.checkpoint_sha256, _test_set(record)


def _test_set(record: Record) -> _TestSet:
    """Fingerprint of the test split and number of images, as far as the record knows them."""
    count = None if record.outcomes is None else record.outcomes.count
    return record.provenance.data.get("test", ""), count


def _test_note(test: _TestSet, known: set[_TestSet]) -> str:
    fingerprint, count = test
    size = "images not counted" if count is None else f"{count} images"
    note = f"test set {fingerprint[:8] or 'without fingerprint'} ({size})"
    return f"{note}, not the references' images" if known and test not in known else note
