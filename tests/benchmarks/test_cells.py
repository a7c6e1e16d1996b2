"""A cell is named by what determines its result, and by nothing else."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.cells import content_hash, expand
from benchmarks.errors import AnnError, MatrixError
from benchmarks.evaluate import method_of
from benchmarks.matrix import load, locate
from benchmarks.runner import run
from benchmarks.spec import Matrix


def cells_of(content, data_root=None):
    return expand(Matrix.model_validate(content), data_root)


def test_a_matrix_is_a_product(tiny):
    cells = cells_of({**tiny, "networks": ["small_cnn", "resnet20"], "seeds": [0, 1, 2]})
    assert len(cells) == 2 * 2 * 3
    assert len({cell.id for cell in cells}) == len(cells)
    assert len({cell.ann.id for cell in cells}) == 2 * 3  # recipes share their ANN


def test_a_network_may_have_recipes_of_its_own(tiny):
    trained = {"name": "small_cnn", "activation": "qcfs", "recipes": ["qcfs", "opi"]}
    cells = cells_of({**tiny, "networks": ["small_cnn", trained]})
    assert [cell.recipe.name for cell in cells] == ["opi", "burst", "qcfs", "opi"]
    assert len({cell.ann.id for cell in cells}) == 2
    assert len({cell.id for cell in cells}) == 4  # the same recipe on another network is another cell


@pytest.mark.parametrize(
    ("recipe", "options", "group", "untouched"),
    [
        ("opi", {}, "binary", True),
        ("burst", {}, "multi-level", True),
        ({"preset": "srp", "scale": "percentile"}, {}, "binary", True),
        ("ptq", {}, "baseline", True),
        ("qcfs", {"activation": "qcfs"}, "retrained", False),
        ("opi", {"activation": "qcfs"}, "retrained", False),
        ("burst", {"activation": "integer", "levels": 2}, "retrained", False),
        ("ptq", {"activation": "qcfs"}, "baseline", False),
        ("opi", {"activation": "relu"}, "binary", True),
        ("tracking", {"activation": "silu"}, "multi-level", True),
    ],
)
def test_the_group_follows_from_recipe_and_network(tiny, recipe, options, group, untouched):
    content = {**tiny, "networks": [{"name": "small_cnn", **options}], "recipes": [recipe]}
    (cell,) = cells_of(content)
    method = method_of(cell.recipe, cell.ann.network.made_for_conversion)
    assert (method.group, method.ann_untouched) == (group, untouched)


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
    ("name", "place", "ann", "cell"),
    [
        ("quickstart", 0, "45190b9864f75926", "c99e5a492b8a0ee7"),
        ("quickstart", -1, "ac354bc9654dd098", "a6e3ce71467c6532"),
        ("ablation_spicalib", 19, "676a46574bb58666", "c32e727d5c57396d"),
        ("cifar10_trained", 13, "e820242bec903c1c", "a304e0816395a0bb"),
        ("detection_headline", -1, "e2bd056267f750f6", "f960c5727cc3f79c"),
    ],
)
def test_a_cell_keeps_its_name_from_version_to_version(name, place, ann, cell):
    """Records are found by these ids: another one means that everybody measures this cell again.

    Change one only with a recipe, a default or a version that gives other results.
    """
    found = expand(load(locate(name)), None)[place]
    assert (found.ann.id, found.id) == (ann, cell)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"description": "other"},
        {"tracking": {"wandb": "online"}},
        {"trainer": {"devices": 2}},
        {"trainer": {"threads": 1}},
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


def test_a_start_counts_as_the_network_that_it_names(tiny):
    """A network that another one starts from is trained once for both; it is part of the name."""
    relu = {"name": "small_cnn", "label": "ReLU", "training": {"epochs": 2}}
    staircase = {"name": "small_cnn", "activation": "qcfs", "recipes": ["qcfs"]}
    content = {**tiny, "networks": [relu, {**staircase, "start": relu}, staircase]}
    matrix = Matrix.model_validate(content)
    cells = expand(matrix, None)
    plain, started, fresh = (next(c.ann for c in cells if c.ann.network is n) for n in matrix.networks)
    assert started.start is not None
    assert started.start.id == plain.id
    assert (started.start.training.epochs, started.training.epochs) == (2, 1)
    assert len({plain.id, started.id, fresh.id}) == 3


def test_a_start_of_a_network_that_is_not_trained_is_refused(tiny, write_matrix):
    loaded = {"name": "small_cnn", "checkpoint": "w.pt", "start": "small_cnn"}
    with pytest.raises(MatrixError, match=r"networks\.0.*'small_cnn'.*leave out one of the two"):
        load(write_matrix({**tiny, "networks": [loaded]}))
    misspelt = {"name": "small_cnn", "start": {"name": "small_cnn", "training": {"epoch": 3}}}
    with pytest.raises(MatrixError, match=r"networks\.0\.start\.training\.epoch: .*did you mean 'epochs'"):
        load(write_matrix({**tiny, "networks": [misspelt]}))


def test_training_begins_where_it_should(tiny, tmp_path):
    """With a learning rate next to nothing, the trained network is the one that it started from."""
    still = {"epochs": 1, "lr": 1e-12}
    content = {
        **tiny,
        "recipes": ["qcfs"],
        "networks": [{"name": "small_cnn", "activation": "qcfs", "start": "small_cnn", "training": still}],
    }
    matrix = Matrix.model_validate(content)
    outcome = run(matrix, None, tmp_path, Console(file=io.StringIO()))
    assert outcome.failures == []
    ann = expand(matrix, None)[0].ann
    states = [
        torch.load(tmp_path / "anns" / spec.id / "network.pt", weights_only=True)["state_dict"]
        for spec in (ann.start, ann)
    ]
    weights = [key for key in states[0] if key.endswith(".weight")]
    assert weights
    for key in weights:
        torch.testing.assert_close(states[0][key], states[1][key], rtol=0, atol=1e-6)
