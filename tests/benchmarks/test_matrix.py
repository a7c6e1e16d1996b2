"""What is wrong in a matrix file is named: file, field, nearest valid name."""

import pytest

from benchmarks.cells import expand
from benchmarks.errors import MatrixError
from benchmarks.matrix import bundled, load, locate
from conversion import recipe_from


@pytest.mark.parametrize("name", list(bundled()))
def test_bundled_matrices_are_valid(name):
    matrix = load(locate(name))
    assert matrix.name == name
    assert matrix.description


def test_the_quickstart_has_a_cell_of_every_task_on_embedded_data():
    matrix = load(locate("quickstart"))
    cells = expand(matrix, None)
    assert {cell.matrix.task for cell in cells} == {"classification", "detection", "segmentation"}
    assert {cell.dataset for cell in cells} == {"digits", "digit_scenes", "digit_scene_masks"}


def test_matrices_that_also_run_inherit_what_they_do_not_say(tiny, write_matrix):
    further = {
        "task": "detection",
        "datasets": ["digit_scenes"],
        "networks": ["spp_yolo"],
        "recipes": ["opi"],
        "training": {"epochs": 3},
        "seeds": [1, 2],
    }
    matrix = load(write_matrix({**tiny, "also": [further]}))
    (also,) = matrix.also
    assert (also.name, also.time_steps, also.tracking) == (matrix.name, matrix.time_steps, matrix.tracking)
    assert also.seeds == [1, 2]
    assert also.training.epochs == 3
    assert also.evaluation.batch_size == 64  # what depends on the task is not inherited
    cells = expand(matrix, None)
    alone = expand(matrix.model_copy(update={"also": []}), None)
    assert [cell.id for cell in cells] == [cell.id for cell in [*alone, *expand(also, None)]]
    assert [cell.matrix.task for cell in cells] == ["classification"] * 2 + ["detection"] * 2
    assert {cell.matrix.tracking.wandb for cell in expand(matrix.tracked("online"), None)} == {"online"}


@pytest.mark.parametrize(
    ("change", "field", "hint"),
    [
        ({"recipes": ["brust"]}, "recipes", "did you mean 'burst'"),
        ({"recipes": [{"preset": "burst", "neuron": {"gama": 3}}]}, "recipes", "did you mean 'gamma'"),
        ({"recipes": [{"preset": "burst", "neuron": {"gamma": 0}}]}, "recipes", "gamma must be at least 1"),
        ({"networks": ["small_cn"]}, "networks.0", "small_cnn"),
        ({"networks": [{"name": "small_cnn", "chanels": 8}]}, "networks.0", "channels"),
        ({"datasets": ["digit"]}, "datasets.0", "digits"),
        ({"datasets": [{"name": "digits", "siz": 8}]}, "datasets.0", "size"),
        ({"time_step": [1]}, "time_step", "did you mean 'time_steps'"),
        ({"time_steps": [0, 4]}, "time_steps", "at least 1"),
        ({"training": {"epoch": 3}}, "training.epoch", "did you mean 'epochs'"),
        ({"training": {"epochs": "many"}}, "training.epochs", "integer"),
        ({"evaluation": {"batchsize": 3}}, "evaluation.batchsize", "did you mean 'batch_size'"),
        (
            {"networks": [{"name": "small_cnn", "training": {"epoch": 1}}]},
            "networks.0.training.epoch",
            "did you mean 'epochs'",
        ),
        ({"networks": [{"name": "small_cnn", "recipes": ["brust"]}]}, "networks.0.recipes", "'burst'"),
        ({"recipes": ["srp"]}, "the matrix", "add `activation: qcfs` to the network"),
        (
            {"networks": [{"name": "small_cnn", "recipes": ["ilif"]}]},
            "the matrix",
            "recipe 'ilif' takes thresholds learned in training, and network 'small_cnn' has none",
        ),
        ({"tracking": {"wandb": "on"}}, "tracking.wandb", "offline"),
        ({"seeds": [1, 1]}, "seeds", "different"),
        ({"pictures": -1}, "pictures", "greater than or equal to 0"),
        ({"also": 3}, "also", "list"),
        ({"also": [{"networks": ["small_cn"]}]}, "also.0.networks.0", "small_cnn"),
        ({"also": [{"evaluation": {"batchsize": 3}}]}, "also.0.evaluation.batchsize", "'batch_size'"),
        ({"also": [{"training": {"epoch": 3}}]}, "also.0.training.epoch", "did you mean 'epochs'"),
        ({"name": "../up"}, "name", "pattern"),
    ],
)
def test_a_typo_is_named(tiny, write_matrix, change, field, hint):
    path = write_matrix({**tiny, **change})
    with pytest.raises(MatrixError) as error:
        load(path)
    message = str(error.value)
    assert str(path) in message
    assert f"{field}:" in message
    assert hint in message


def test_all_typos_are_named_at_once(tiny, write_matrix):
    path = write_matrix({**tiny, "seed": [1], "recipes": ["brust"]})
    with pytest.raises(MatrixError, match=r"(?s)recipes:.*seed:|seed:.*recipes:"):
        load(path)


@pytest.mark.parametrize("content", ["a: [1", "- 1", "", "name: !!python/object/apply:os.getcwd []"])
def test_what_is_no_matrix(write_matrix, content):
    path = write_matrix(content)
    with pytest.raises(MatrixError, match=r"matrix\.yaml"):
        load(path)


def test_an_unknown_matrix_names_the_nearest():
    with pytest.raises(MatrixError, match="Did you mean 'quickstart'"):
        locate("quikstart")


def test_overrides_reach_the_recipe(tiny, write_matrix):
    path = write_matrix({**tiny, "recipes": [{"preset": "burst", "neuron": {"gamma": 10}}]})
    recipe = recipe_from(load(path).recipes[0])
    assert recipe.neuron.gamma == 10
    assert recipe.label == "burst gamma=10"
