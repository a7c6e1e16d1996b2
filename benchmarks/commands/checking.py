"""The command `spikemark check-results`: what of a results folder is sound, and what a run would mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks.output import printable, say


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
    from benchmarks.loadable import holds_weights_alone

    for name, mend in (
        ("network.pt", "the next run that needs it sets it aside and trains it again"),
        ("last.ckpt", "the next run sets it aside, and the training begins anew"),
    ):
        for path in _files(results, f"anns/*/{name}"):
            sound = path.is_file() and holds_weights_alone(path)
            kind = "trained networks" if name == "network.pt" else "checkpoints"
            yield kind, None if sound else Finding(path, "is damaged, or holds more than weights", mend)


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
    from benchmarks.coordination.plain_files import LARGE, read_plain

    try:
        return read_plain(path, LARGE)
    except OSError:
        return None
