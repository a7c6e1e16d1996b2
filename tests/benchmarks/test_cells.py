"""A cell is named by what determines its result, and by nothing else."""

from pathlib import Path

import pytest
import torch

from benchmarks.cells import content_hash, expand
from benchmarks.errors import AnnError
from benchmarks.spec import Matrix


def cells_of(content, data_root=None):
    return expand(Matrix.model_validate(content), data_root)


def test_a_matrix_is_a_product(tiny):
    cells = cells_of({**tiny, "networks": ["small_cnn", "resnet20"], "seeds": [0, 1, 2]})
    assert len(cells) == 2 * 2 * 3
    assert len({cell.id for cell in cells}) == len(cells)
    assert len({cell.ann.id for cell in cells}) == 2 * 3  # recipes share their ANN


@pytest.mark.parametrize(
    "change",
    [
        {"time_steps": [1, 8]},
        {"recipes": ["maxnorm", "burst"]},
        {"seeds": [1]},
        {"training": {"epochs": 2}},
        {"evaluation": {"calibration_images": 33, "test_images": 40, "batch_size": 20}},
        {"datasets": [{"name": "digits", "size": 16}]},
    ],
)
def test_what_changes_the_result_changes_the_name(tiny, change):
    assert cells_of(tiny)[0].id != cells_of({**tiny, **change})[0].id


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"description": "other"},
        {"tracking": {"wandb": "online"}},
        {"trainer": {"devices": 2}},
        {"evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 5, "chunk": 2}},
        {"recipes": ["opi", "maxnorm"]},
    ],
)
def test_what_does_not_change_the_result_keeps_the_name(tiny, change):
    assert cells_of(tiny)[0].id == cells_of({**tiny, **change})[0].id


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert content_hash({"a": 1, "b": [2, {"c": 3}]}) == content_hash({"b": [2, {"c": 3}], "a": 1})


def test_a_checkpoint_counts_by_its_content(tiny, tmp_path):
    content = {**tiny, "networks": [{"name": "small_cnn", "checkpoint": "w.pt"}]}
    torch.save({"a": torch.zeros(2)}, tmp_path / "w.pt")
    first = cells_of(content, tmp_path)[0].id
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w.pt").write_bytes((tmp_path / "w.pt").read_bytes())
    assert cells_of(content, tmp_path / "elsewhere")[0].id == first
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pt")
    assert cells_of(content, tmp_path)[0].id != first


def test_a_missing_checkpoint_is_named(tiny):
    content = {**tiny, "networks": [{"name": "small_cnn", "checkpoint": "nowhere.pt"}]}
    with pytest.raises(AnnError, match=r"nowhere\.pt.*--data-root"):
        _ = cells_of(content, Path("/no/such/root"))[0].id
