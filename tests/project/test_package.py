"""What a user gets: a wheel with every package and its types, one version everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all files in the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_every_folder_of_code_is_packaged_checked_and_layered() -> None:
    """A new package is forgotten nowhere: the wheel, mypy and the arrows between rooms know the same ones."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(PACKAGES) == folders
    assert set(PROJECT["tool"]["mypy"]["packages"]) == folders
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == folders


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_brings_its_types(package: str, wheel: set[str]) -> None:
    assert f"{package}/py.typed" in wheel


def test_the_wheel_has_all_that_the_packages_have(wheel: set[str]) -> None:
    """Matrices, kernels in C, the page and published figures are read from where the code is installed."""
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there - wheel == set()


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, date = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", changes, re.MULTILINE)[0]
    assert newest == version
    assert date == str(citation["date-released"])


def test_the_changelog_has_an_address_for_every_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changes, re.MULTILINE)
    addresses = re.findall(r"^\[(.+?)\]: (\S+)$", changes, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert [name for name, _ in addresses] == headings
    repository = PROJECT["project"]["urls"]["Repository"]
    assert all(address.startswith(repository) for _, address in addresses)


def test_the_repository_has_one_address() -> None:
    repository = PROJECT["project"]["urls"]["Repository"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == repository
    assert all(address.startswith(repository) for address in PROJECT["project"]["urls"].values())


def test_every_python_that_is_promised_is_tested() -> None:
    """Classifiers, the lowest version and the jobs on every push name the same Pythons."""
    classifiers = PROJECT["project"]["classifiers"]
    promised = [name.rpartition(" ")[2] for name in classifiers if re.fullmatch(r".*:: 3\.\d+", name)]
    jobs = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8"))["jobs"]
    assert promised == jobs["tests"]["strategy"]["matrix"]["python"]
    assert PROJECT["project"]["requires-python"] == f">={promised[0]}"
    lowest = promised[0].replace(".", "")
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{lowest}"
    assert PROJECT["tool"]["mypy"]["python_version"] == promised[0]
