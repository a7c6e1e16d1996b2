"""Every command and every block of code in the README and in docs/ runs, in order, page by page."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from click.testing import CliRunner

import spikemark_plugins
from benchmarks.cli import main
from benchmarks.spec import Matrix
from conversion import convert, recipes
from conversion.parts import _REGISTRY
from datamodules import LoaderConfig
from datamodules import registry as datasets
from lightning_modules import networks
from lightning_modules.networks import registry as network_registry

LANGUAGES = {"bash", "python", "yaml", "toml", "text"}


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
STAND_INS = yaml.safe_load(Path(__file__).with_name("stand_ins.yaml").read_text())
SMALL = STAND_INS["small"]


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def needs(self) -> str:
        """What it needs that a test does not have."""
        return self.title if self.title.startswith("needs ") else ""


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    body: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            body.append(line)
        elif opened is None:
            language, _, rest = line[3:].partition(" ")
            title = re.search(r'title="([^"]*)"', rest)
            opened, body = (number, language, title[1] if title else ""), []
        else:
            found.append(Block(page, *opened, "\n".join(body) + "\n"))
            opened, body = None, []
    assert opened is None, f"{page}: a block is not closed"
    return found


def commands(block: Block) -> list[str]:
    """Commands of a block of shell, one a line; a line that ends in a backslash goes on."""
    joined = block.text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def spikemark(line: str) -> str:
    for long, short in STAND_INS["shorter"].items():
        line = line.replace(long, short)
    if " CELL" in line:  # any record
        line = line.replace("CELL", next(Path("results/records").glob("*.json")).stem).replace("DATA", ".")
    words = shlex.split(line.split(" > ")[0], comments=True)[1:]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, f"{line}\n{done.output}{done.exception or ''}"
    return done.output


def lay_out(folder: Path) -> None:
    for name, matrix in STAND_INS["named"].items():
        (folder / name).write_text(yaml.safe_dump({"name": name.removesuffix(".yaml"), **matrix}))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Results of the stand-in for quickstart, which many pages read."""
    folder = tmp_path_factory.mktemp("measured")
    lay_out(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        spikemark("spikemark run quickstart")
    return folder / "results"


@pytest.fixture
def world(tmp_path, monkeypatch, measured):
    """An empty folder with stand-ins and results; what a page installs is forgotten afterwards."""
    lay_out(tmp_path)
    for name in ("results", "results-before", "results-after"):
        shutil.copytree(measured, tmp_path / name)
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(spikemark_plugins, "_opened", set())
    for module, name in ((recipes, "_PRESETS"), (network_registry, "_ENTRIES"), (datasets, "_CLASSES")):
        monkeypatch.setattr(module, name, dict(getattr(module, name)))
    parts = {kind: dict(known) for kind, known in _REGISTRY.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)
    for kind, known in parts.items():
        _REGISTRY[kind].clear()
        _REGISTRY[kind].update(known)
    for module in ("my_method", "my_net", "my_data"):
        sys.modules.pop(module, None)


class ReadersModule(pl.LightningModule):
    """A module of a reader's own: it knows nothing of this package."""

    def __init__(self, ann: torch.nn.Module) -> None:
        super().__init__()
        self.model = ann

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = batch
        self.log("test_loss", torch.nn.functional.cross_entropy(self(images), labels))


def reader_has(page: Path) -> dict[str, Any]:
    """What a page takes for granted in Python: a network, its module, its data, a batch."""
    chosen = Matrix.model_validate({"name": "reader", **STAND_INS.get(page.stem, SMALL)})
    dataset, network = chosen.datasets[0], chosen.networks[0]
    data = datasets.build(dataset.name, dataset.options, LoaderConfig(batch_size=4, calibration_images=4))
    ann = networks.build(network.name, len(data.classes), 1, network.options).eval()
    module = chosen.task.module(ann, data, chosen.training)
    batch, batches = next(iter(data.test_dataloader())), data.calibration_batches()

    names = {
        "ann": ann,
        "images": batch[0],
        "batch": batch,
        "batches": batches,
        "module": ReadersModule(ann) if page.name == "README.md" else module,
        "data": data,
        "test_loader": data.test_dataloader(),
    }
    return {**names, "snn": convert(ann, "opi", batches), "Path": Path}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page, world):
    namespace: dict[str, Any] | None = None
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page}:{block.line}: language {block.language!r}"
        if block.needs:
            continue
        if block.language == "bash":
            for line in commands(block):
                run(line, world)
        elif block.language == "python":
            namespace = reader_has(page) if namespace is None else namespace
            exec(compile(block.text, f"{page}:{block.line}", "exec"), namespace)
        elif block.language == "yaml":
            check_yaml(block)
        elif block.language == "toml":
            tomllib.loads(block.text)


def run(line: str, world: Path) -> None:
    """Run a `spikemark` command; check what others ask for."""
    for part in line.split(" && "):
        words = shlex.split(part, comments=True)
        match words:
            case ["spikemark", *_]:
                if any(word.endswith("matrix.yaml") for word in words):
                    shrink(Path(words[-1]))
                spikemark(part)
            case ["tox", "run", *rest]:
                known = configparser.ConfigParser(interpolation=None)
                known.read(ROOT / "tox.ini")
                assert not rest or f"testenv:{rest[1]}" in known, f"there is no tox environment {rest[1]}"
            case ["python", "-m", "pip", "install", "--no-deps", "-e", package]:
                pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
                pip += ["--no-build-isolation", "--target", str(world / "site-packages"), f"./{package}"]
                subprocess.run(pip, check=True, capture_output=True)
                spikemark_plugins._opened.clear()
            case ["python", "-m", "pip", "install", "." | "tox"]:
                pass  # how the tests themselves were started
            case ["python", "-m", module, *_]:
                assert importlib.util.find_spec(module), f"there is no module {module}"
            case _:
                raise AssertionError(f"nobody knows how to test the command {part!r}")


def shrink(matrix: Path) -> None:
    """Train for one epoch on few images what `spikemark new` has written."""
    content = yaml.safe_load(matrix.read_text())
    small = {key: SMALL[key] for key in ("training", "evaluation", "time_steps", "tracking")}
    matrix.write_text(yaml.safe_dump(content | small))


def check_yaml(block: Any) -> None:
    """A whole matrix, a workflow, or fields of a matrix."""
    content = yaml.safe_load(block.text)
    if "jobs" in content:
        for job in content["jobs"].values():
            steps = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
            assert any(line.startswith("spikemark ") for line in steps)
        return
    if "my-method" in content.get("recipes", []):
        stand_in_for("my-method")
    if "name" in content:
        Matrix.model_validate(content)
        if block.title:
            Path(block.title).write_text(yaml.safe_dump({**SMALL, **only(content, "name", "recipes")}))
        return
    problems = []
    for task in ("small", "detection", "segmentation"):
        try:
            Matrix.model_validate({"name": "fragment", **STAND_INS[task], **content})
        except ValueError as error:
            problems.append(str(error))
        else:
            return
    raise AssertionError(f"{block.page}:{block.line}: no matrix takes this:\n" + "\n".join(problems))


def only(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: content[key] for key in keys}


def stand_in_for(recipe: str) -> None:
    """A page may go on where another has ended, with a recipe of the reader's own."""
    if recipe not in recipes._PRESETS:
        opi = recipes.recipe_from("opi")
        recipes.preset(recipes.Recipe(recipe, "the reader's", "none", scale=opi.scale, initial=opi.initial))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_block_escapes_by_being_indented(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
    indented = [line for line in re.findall(r"\n\n(    \S.*)", text) if not line.strip().startswith(":")]
    assert indented == [], "write code between ``` fences, so that it is tested"


def test_few_blocks_are_left_out():
    skipped = [block.title for page in PAGES for block in blocks(page) if block.needs]
    assert len(skipped) <= 4, skipped
    assert all(len(title) > len("needs x") for title in skipped)
