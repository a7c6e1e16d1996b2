"""What the page says is to be typed for a cell gives that very cell again."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import yaml

from benchmarks.cells import Cell, expand
from benchmarks.spec import Matrix
from leaderboard.page.reproduce import cell_matrix, reproduction
from leaderboard.records.record import Ann, Provenance, RecipeSummary, Record

MATRIX = {
    "name": "study",
    "datasets": [{"name": "digits", "label": "Digits"}],
    "networks": ["small_cnn", {"name": "resnet20", "label": "mine"}],
    "recipes": ["opi", {"preset": "burst", "neuron": {"gamma": 7}, "label": "END"}],
    "time_steps": [1, 4],
    "seeds": [3],
    "training": {"epochs": 2},
    "evaluation": {"calibration_images": 64, "test_images": 50},
}


def record_of(cell: Cell) -> Record:
    """As much of a record as the way back needs."""
    return Record.model_construct(
        cell_id=cell.id,
        config=cell.config,
        matrix=cell.settings.matrix,
        task=cell.settings.task.name,
        dataset=cell.dataset,
        network=cell.network,
        seed=cell.seed,
        tuning=cell.tuning,
        method=RecipeSummary.model_construct(name=cell.recipe.name, label=cell.recipe.label),
        ann=Ann.model_construct(checkpoint_sha256="c" * 64),
        provenance=Provenance.model_construct(git_commit="0123abc", git_dirty=True, data={"test": "f" * 8}),
    )


def test_the_matrix_of_a_cell_gives_the_cell_again() -> None:
    cells = expand(Matrix.model_validate(MATRIX), None)
    assert len(cells) == 4
    for cell in cells:
        text = cell_matrix(record_of(cell))
        assert text is not None
        (again,) = expand(Matrix.model_validate(yaml.safe_load(text)), None)
        assert again.id == cell.id
        assert (again.dataset, again.network, again.recipe.label) == (
            cell.dataset,
            cell.network,
            cell.recipe.label,
        )


def test_a_checkpoint_is_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"weights")
    matrix = MATRIX | {"networks": [{"name": "small_cnn", "checkpoint": "net.pt"}], "recipes": ["opi"]}
    (cell,) = expand(Matrix.model_validate(matrix), tmp_path)
    text = cell_matrix(record_of(cell))
    assert text is not None
    content = yaml.safe_load(text)
    digest = hashlib.sha256(b"weights").hexdigest()
    assert content["networks"][0].pop("checkpoint") == f"CHECKPOINT with sha256 {digest}"
    content["networks"][0]["checkpoint"] = "net.pt"
    (again,) = expand(Matrix.model_validate(content), tmp_path)
    assert again.id == cell.id


def test_the_commands_check_out_the_commit_and_carry_the_matrix(tmp_path: Path) -> None:
    for cell in expand(Matrix.model_validate(MATRIX), None):
        first, by_hand = reproduction(record_of(cell)).split("\n\n", 1)
        assert first.splitlines()[-1] == f"spikemark reproduce {cell.id} --data-root DATA"
        assert "# network: the cell trains it, as its configuration says" in first
        assert f"sha256 {'c' * 64}" in first
        script = by_hand.splitlines()
        assert script.pop(1).startswith("git checkout 0123abc  # with changes")
        assert script[-1].startswith("spikemark run cell.yaml")
        subprocess.run(["sh", "-c", "\n".join(script[:-1])], cwd=tmp_path, check=True)
        assert (tmp_path / "cell.yaml").read_text() == cell_matrix(record_of(cell))


def test_names_cannot_end_a_comment() -> None:
    (cell, *_) = expand(Matrix.model_validate(MATRIX), None)
    record = record_of(cell).model_copy(update={"dataset": "x\nrm -rf /", "config": {"bits": 4}})
    lines = reproduction(record).splitlines()
    assert not any(line.startswith("rm") for line in lines)


def test_a_configuration_that_no_matrix_gives_names_its_matrix() -> None:
    (cell, *_) = expand(Matrix.model_validate(MATRIX), None)
    record = record_of(cell).model_copy(update={"config": {"bits": 4}, "matrix": "a b"})
    assert cell_matrix(record) is None
    assert reproduction(record).endswith("spikemark run 'a b'")
