"""References in the commands: shown, renewed, ranked, compared; submissions judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.anns import AnnStore
from benchmarks.cli import main
from leaderboard import Record, ResultStore
from leaderboard.records.record import content_hash
from leaderboard.reference import shipped

MATRIX = """
name: tiny
datasets: [{name: digits, size: 8}]
networks: [{name: small_cnn, channels: [4, 4]}]
recipes: [opi, spicalib]
time_steps: [1, 4]
training: {epochs: 1}
evaluation: {calibration_images: 16, test_images: 20, batch_size: 20}
tracking: {wandb: "off"}
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tiny.yaml").write_text(MATRIX)
    done = call("run", folder / "tiny.yaml", "--results", folder / "results")
    assert done.exit_code == 0, done.output
    return folder / "results"


@pytest.fixture
def references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of archives, empty."""
    folder = tmp_path / "reference"
    (folder / shipped.SUBMITTED).mkdir(parents=True)
    monkeypatch.setattr(shipped, "HERE", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def rewritten(measured: Path, target: Path, **changes: Any) -> Path:
    """The same results, with other provenance."""
    for record in ResultStore(measured).load().records:
        origin = record.provenance.model_copy(update=changes)
        ResultStore(target).write(record.model_copy(update={"provenance": origin}))
    return target


def other(measured: Path, target: Path, label: str) -> Record:
    """A record of another recipe on the same network and images."""
    record = ResultStore(measured).load().records[0]
    config = {**record.config, "recipe": {**record.config["recipe"], "name": label}}
    method = record.method.model_copy(update={"label": label, "name": label})
    changed = record.model_copy(update={"config": config, "cell_id": content_hash(config), "method": method})
    ResultStore(target).write(changed)
    return changed


CLEAN = {"git_commit": "0" * 40, "git_dirty": False}


def update(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr("benchmarks.commands.references.knows", lambda commit: None)
    return call("reference", "--update", folder)


def test_an_empty_folder_opens_on_the_references(
    measured: Path, references: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = call("leaderboard")
    assert nothing.exit_code == 1
    assert "no records in results" in nothing.output
    assert "no reference records" in call("reference").output
    done = update(rewritten(measured, references.parent / "clean", **CLEAN), monkeypatch)
    assert done.exit_code == 0, done.output
    assert "2 added, 0 replaced, 0 kept" in done.output
    assert "2 reference records" in call("reference").output
    page = references.parent / "page.html"
    full = call("leaderboard", "--html", page)
    assert full.exit_code == 0, full.output
    assert "spicalib" in full.output
    assert '"origin":"reference"' in page.read_text(encoding="utf-8")
    without = call("leaderboard", "--no-reference")
    assert without.exit_code == 1
    compared = call("compare", "opi", "spicalib")
    assert compared.exit_code == 0, compared.output
    assert call("compare", "opi", "spicalib", "--no-reference").exit_code == 1


def test_own_records_stand_among_the_references(
    measured: Path, references: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(rewritten(measured, references.parent / "clean", **CLEAN), monkeypatch)
    other(measured, Path("results"), "mine")
    entries = json.loads(call("leaderboard", "--format", "json").stdout)
    assert {entry["recipe"]: entry["origin"] for entry in entries} == {
        "mine": "own",
        "opi": "reference",
        "spicalib": "reference",
    }
    assert len({entry["note"] for entry in entries}) == 1
    compared = call("compare", "mine", "opi")
    assert compared.exit_code == 0, compared.output
    assert "mine" in compared.output


def test_what_nobody_can_measure_again_is_refused(
    measured: Path, references: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes in ({"git_commit": None, "git_dirty": None}, {"git_commit": "0" * 40, "git_dirty": True}):
        folder = rewritten(measured, references.parent / str(changes["git_dirty"]), **changes)
        refused = update(folder, monkeypatch)
        assert refused.exit_code == 1
        assert "these cannot be references, so nothing was written" in refused.output
    assert shipped.archives(references) == []
    assert call("reference", "results").exit_code == 2  # no such folder
    assert "name the results folders" in call("reference", "--update").output
    assert "only with --update" in call("reference", measured).output


def test_a_good_and_a_bad_submission(
    measured: Path, references: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.commands.submissions.knows", lambda commit: None)
    update(rewritten(measured, references.parent / "clean", **CLEAN), monkeypatch)
    other(rewritten(measured, references.parent / "copy", **CLEAN), references.parent / "lab", "mine")
    good = references.parent / "good.zip"
    call("export", "--results", references.parent / "lab", "--out", good)
    difference = references.parent / "difference.md"
    sound = call("validate", good, "--difference", difference)
    assert sound.exit_code == 0, sound.output
    assert "mine, closed division" in sound.output
    assert "| new | **mine** |" in difference.read_text(encoding="utf-8")
    bad = references.parent / "bad.zip"
    call("export", "--results", references.parent / "copy", "--out", bad)
    judged = call("validate", bad, "--base", good)
    assert judged.exit_code == 1
    assert "already; leave it out" in judged.output
    assert "was in the archive before and is lost" in judged.output
    bad.write_bytes(good.read_bytes()[:-100])
    assert "cannot be read as an archive" in call("validate", bad).output


def test_a_cell_is_measured_again_and_the_page_says_so(measured: Path, references: Path) -> None:
    cells = {r.method.label: r.cell_id for r in ResultStore(measured).load().records}
    again = call("reproduce", cells["opi"][:10], "--results", measured)
    assert again.exit_code == 0, again.output
    assert "\nreproduced\n" in again.output
    page = references.parent / "page.html"
    call("leaderboard", "--results", measured, "--html", page)
    assert '"reproduced":"reproduced"' in page.read_text(encoding="utf-8")
    record = ResultStore(measured).read(cells["spicalib"])
    doubled = [p.model_copy(update={"synops": {n: 2 * s for n, s in p.synops.items()}}) for p in record.curve]
    ResultStore("wrong").write(record.model_copy(update={"curve": doubled}))
    false = call("reproduce", cells["spicalib"], "--results", "wrong")
    assert false.exit_code == 1
    assert "\nnot: SynOps at t=1" in false.output
    assert "no record of cell" in call("reproduce", "nothing", "--results", measured).output


def test_a_trained_network_can_be_handed_in(
    measured: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = {r.method.label: r.cell_id for r in ResultStore(measured).load().records}
    (network,) = (measured / "anns").rglob("network.pt")
    monkeypatch.setattr(AnnStore, "_train", lambda *_: pytest.fail("trained anew"))
    again = call("reproduce", cells["opi"], "--results", tmp_path / "a", "--checkpoint", network)
    assert "no record of cell" in again.output
    again = call("reproduce", cells["opi"], "--results", measured, "--checkpoint", network)
    assert again.exit_code == 0, again.output
    assert "\nreproduced\n" in again.output
    other = tmp_path / "other.pt"
    other.write_bytes(network.read_bytes() + b"more")
    refused = call("reproduce", cells["opi"], "--results", measured, "--checkpoint", other)
    assert refused.exit_code == 1
    assert "is another network than the record's" in refused.output


def test_reading_commands_load_no_torch(measured: Path) -> None:
    import subprocess

    code = (
        "import sys; from benchmarks.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'plotly', 'pytorch_lightning'} & set(sys.modules)"
    )
    for words in (["reference"], ["validate", "--help"], ["reproduce", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
