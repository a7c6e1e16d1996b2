"""The script that judges a pull request with records, and the workflows around it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from leaderboard.repository import DOCS, REPOSITORY

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("submission", ROOT / ".github" / "submission.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: ModuleType) -> Path:
    """A repository whose branch adds one archive that is none, and removes another."""
    monkeypatch.chdir(tmp_path)

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *words], check=True, capture_output=True)

    folder = tmp_path / script.FOLDER
    folder.mkdir(parents=True)
    git("init", "-q", "-b", "main")
    (folder / "old.zip").write_bytes(b"old")
    git("add", ".")
    git("commit", "-qm", "first")
    git("checkout", "-qb", "branch")
    (folder / "old.zip").unlink()
    (folder / "new.zip").write_bytes(b"no archive ``` at all")
    git("add", ".")
    git("commit", "-qm", "second")
    return tmp_path


def test_what_a_branch_changes_is_found(branch: Path, script: ModuleType) -> None:
    assert script.changed("main") == {f"{script.FOLDER}/new.zip": "A", f"{script.FOLDER}/old.zip": "D"}


def test_what_is_no_archive_or_vanishes_is_not_sound(branch: Path, script: ModuleType) -> None:
    sound, said = script.judge(f"{script.FOLDER}/new.zip", "A", "main", branch)
    assert not sound
    assert "is not sound yet" in said
    assert "cannot be read as an archive" in said
    assert said.count("```") == 2  # nothing ends the block early
    sound, said = script.judge(f"{script.FOLDER}/old.zip", "D", "main", branch)
    assert not sound
    assert "is removed" in said


def test_what_runs_others_code_may_only_read() -> None:
    reading = yaml.safe_load((WORKFLOWS / "submission.yml").read_text(encoding="utf-8"))
    assert reading["permissions"] == {"contents": "read"}
    commenting = (WORKFLOWS / "submission-comment.yml").read_text(encoding="utf-8")
    assert "checkout" not in commenting
    assert set(yaml.safe_load(commenting)[True]) == {"workflow_run"}  # YAML reads "on" as a truth value


def test_the_address_of_the_repository_is_the_same_everywhere() -> None:
    owner = REPOSITORY.split("/")[-2]
    assert f"https://{owner}.github.io/spikemark" == DOCS
    names = ("pyproject.toml", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml")
    for name in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        found = set(re.findall(r"https://github\.com/([\w-]+)/spikemark\b", text))
        assert found == {owner}, name
    assert f"site_url: {DOCS}/" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_an_archive_that_cannot_be_read_stops_no_other(
    branch: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is judged beside the sound ones alone, and everything lies where it lay in the end."""
    folder = branch / script.FOLDER
    (folder / "another.zip").write_bytes(b"sound")
    seen = []

    def judged(path: str, *_: object) -> tuple[bool, str]:
        seen.append((Path(path).name, sorted(each.name for each in folder.glob("*.zip"))))
        return "another" in path, path

    monkeypatch.setattr(script, "judge", judged)
    archives = {f"{script.FOLDER}/{name}.zip": "A" for name in ("new", "another")} | {
        f"{script.FOLDER}/old.zip": "D"
    }
    found = script.judge_each(archives, "main", branch / "out")
    assert [sound for sound, _ in found] == [True, False, False]
    assert seen == [
        ("another.zip", ["another.zip"]),
        ("new.zip", ["another.zip", "new.zip"]),
        ("old.zip", ["another.zip"]),
    ]
    script.put_back(archives, branch / "out")
    assert (folder / "new.zip").read_bytes() == b"no archive ``` at all"
    assert sorted(each.name for each in folder.glob("*.zip")) == ["another.zip", "new.zip"]


@pytest.mark.parametrize(
    "name", ["a b.zip", "`x`.zip", "-x.zip", "sub/x.zip", "@all.zip", "ü.zip", "x.ZIP", ".zip"]
)
def test_names_that_mean_something_else_elsewhere_are_refused(
    script: ModuleType, tmp_path: Path, name: str
) -> None:
    sound, said = script.judge(f"{script.FOLDER}/{name}", "A", "main", tmp_path)
    assert not sound
    assert "Name it after your lab" in said
    assert said.isascii()
    assert said.count("`") % 2 == 0
    assert "@" not in said


def test_an_unknown_base_is_one_sentence(branch: Path, script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="Is --base a branch of this clone"):
        script.changed("origin/nosuch")
