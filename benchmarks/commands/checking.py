"""The command `spikemark check-results`: what of a results folder is sound, and what a run would mend."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.output import printable, say

DEEPEST = 20  # mappings inside of each other that are looked into

if TYPE_CHECKING:
    from leaderboard.store.agreement import NamedNetworks


@dataclass(frozen=True)
class Finding:
    """A file that is not as it should be.

    Attributes:
        path: of the file.
        what: is wrong with it, in a few words.
        mend: what becomes of it.
        damaged: whether something that was measured or learned is lost or in doubt.
    """

    path: Path
    what: str
    mend: str
    damaged: bool = True


@dataclass
class Checked:
    """What was found in a results folder."""

    sound: dict[str, int] = field(default_factory=dict)  # kind -> files
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, found: Finding | None) -> None:
        """Count a file, or keep what is wrong with it."""
        if found is None:
            self.sound[kind] = self.sound.get(kind, 0) + 1
        else:
            self.findings.append(found)


@click.command(name="check-results")
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("results")
)
def check_results(folder: Path) -> None:
    """Verify every file of a results FOLDER, and say what a run would mend; changes nothing.

    Reads records, failures, studies and their journals, diagnoses, notes, claims, trained networks and
    checkpoints, and looks for what killed processes left. Ends with code 1 where something is damaged.
    """
    checked = check(folder)
    for kind, files in checked.sound.items():
        say(f"sound: {files} {kind}")
    for found in sorted(checked.findings, key=lambda finding: (not finding.damaged, finding.path)):
        label = "damaged" if found.damaged else "left"
        say(f"{label}: {printable(found.path)}: {printable(found.what)}; {found.mend}", err=found.damaged)
    damaged = sum(found.damaged for found in checked.findings)
    say(
        f"{sum(checked.sound.values())} sound, {damaged} damaged, {len(checked.findings) - damaged} left over"
    )
    if damaged:
        sys.exit(1)


def check(results: Path) -> Checked:
    """Read everything in a results folder; nothing that is read can run code."""
    checked = Checked()
    for check_kind in (_records, _failures, _studies, _journals, _diagnoses, _notes, _networks):
        for kind, found in check_kind(results):
            checked.add(kind, found)
    for kind, found in _claims(results):
        checked.add(kind, found)
    from benchmarks.coordination.leftovers import leftovers

    for path in leftovers(results):
        checked.add("", Finding(path, "a killed process left it", "the next run removes it", damaged=False))
    return checked


Results = Iterator[tuple[str, Finding | None]]


def _files(results: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(results.glob(pattern)) if not path.name.startswith(".")]


def _records(results: Path) -> Results:
    from leaderboard import ResultStore

    loaded = ResultStore(results).load(layers=False)
    for _ in loaded.records:
        yield "records", None
    for invalid in loaded.invalid:
        yield "records", Finding(invalid.path, invalid.reason, "its cell is run again")


def _failures(results: Path) -> Results:
    from leaderboard.store.failures import FailureStore

    store = FailureStore(results)
    for path in _files(results, "failures/*.json"):
        sound = path.is_file() and store.get(path.stem) is not None
        what = Finding(path, "is no failure that can be read", "its cell is run again", damaged=False)
        yield "failures", None if sound else what


def _studies(results: Path) -> Results:
    from leaderboard.store.studies import parse_study

    for path in _files(results, "tuning/*.json"):
        sound = (content := _content(path)) is not None and parse_study(content) is not None
        yield "studies", None if sound else Finding(path, "is no study", "`spikemark tune` writes it again")


def _journals(results: Path) -> Results:
    from benchmarks.tuning.journal_file import verify

    for path in _files(results, "tuning/*.journal"):
        lines, wrong, cut = verify(path)
        if wrong:
            mend = f"`spikemark tune` sets it aside and goes on with the {lines} lines before"
            yield "journals", Finding(path, wrong, mend)
        elif cut:
            mend = "`spikemark tune` cuts it off"
            yield "journals", Finding(path, f"its last {cut} bytes are no whole line", mend, damaged=False)
        else:
            yield "journals", None
    for path in _files(results, "tuning/*.damaged-*"):
        yield "", Finding(path, "a damaged journal, set aside", "remove it when it has been looked at", False)


def _diagnoses(results: Path) -> Results:
    from leaderboard.store.diagnoses import CellDiagnosis

    for path in _files(results, "diagnoses/*.json"):
        try:
            CellDiagnosis.model_validate_json(_content(path) or b"")
        except ValueError:
            yield "diagnoses", Finding(path, "is no diagnosis", "the page leaves it out")
        else:
            yield "diagnoses", None


def _notes(results: Path) -> Results:
    from benchmarks.coordination.notes import read_note

    for path in _files(results, "runs/*.json"):
        sound = read_note(path) is not None
        what = Finding(path, "is no note of a run", "the next run writes it again", damaged=False)
        yield "notes of runs", None if sound else what


def _networks(results: Path) -> Results:
    from benchmarks.loadable import plain_content

    named = _named_networks(results)
    for name, mend in (
        ("network.pt", "the next run that needs it sets it aside and trains it again"),
        ("last.ckpt", "the next run sets it aside, and the training begins anew"),
    ):
        for path in _files(results, f"anns/*/{name}"):
            content = plain_content(path) if path.is_file() else None
            if content is None:
                yield name, Finding(path, "is damaged, or holds more than weights", mend)
            elif name == "last.ckpt":
                yield "checkpoints", None
            elif odd := _odd_weights(content):
                yield name, Finding(path, odd, "cells on it fail; remove it, and it is trained again")
            else:
                yield "trained networks", _other_weights(path, named)


def _named_networks(results: Path) -> NamedNetworks:
    from leaderboard import ResultStore
    from leaderboard.store.agreement import NamedNetworks

    named = NamedNetworks()
    for record in ResultStore(results).load(layers=False).records:
        named.add(record)
    return named


def _other_weights(path: Path, named: NamedNetworks) -> Finding | None:
    """What records say of a network that is not in its file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    found = named.get(path.parent.name)
    why = found.contradiction(digest) if found is not None else None
    if why is None:
        return None
    return Finding(path, why, "it stays, and `spikemark export --networks` leaves it out", damaged=False)


def _odd_weights(content: Any, name: str = "it", depth: int = 0) -> str | None:
    """What no training can have written, in words; what the file says of sizes is not believed."""
    import torch

    if isinstance(content, torch.Tensor):
        if content.layout != torch.strided or content.is_quantized or content.is_meta:
            return f"{name} is no dense tensor"
        if content.numel() * content.element_size() > content.untyped_storage().nbytes():
            return f"{name} is said to have {content.numel()} values, more than the file holds"
        odd = content.is_floating_point() and not bool(torch.isfinite(content).all())
        return f"{name} is NaN or infinite" if odd else None
    inside = content.items() if isinstance(content, dict) and depth < DEEPEST else ()
    found = (_odd_weights(each, str(key), depth + 1) for key, each in inside)
    return next((what for what in found if what is not None), None)


def _claims(results: Path) -> Results:
    from benchmarks.coordination.claims import Claims
    from benchmarks.offline import cell_of, open_runs

    claims = Claims(results)
    for key, holding in claims.load().items():
        path = claims.folder / f"{key}.json"
        if holding.stale:
            what = f"{holding.who} is gone"
            yield "claims", Finding(path, what, "the next run takes it over", damaged=False)
        elif holding.owner is None:
            mend = "it holds while its heartbeat moves"
            yield "claims", Finding(path, "cannot be read", mend, damaged=False)
        else:
            yield "claims of work in progress", None
    stale = {key for key, holding in claims.load().items() if holding.stale}
    for run in open_runs(results):
        if f"cell-{cell_of(run)}" in stale:
            yield "", Finding(run, "a W&B run of a killed cell", "removed when the cell begins anew", False)


def _content(path: Path) -> bytes | None:
    from leaderboard.files.plain_files import LARGE, read_plain

    try:
        return read_plain(path, LARGE)
    except OSError:
        return None
