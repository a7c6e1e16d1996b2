"""What is wrong in a matrix file is named: file, field, nearest valid name."""

import pytest

from benchmarks.cells import expand
from benchmarks.errors import AnnError, MatrixError
from benchmarks.matrix import bundled, load, locate


@pytest.mark.parametrize("name", list(bundled()))
def test_bundled_matrices_are_valid(name):
    matrix = load(locate(name))
    assert matrix.name == name
    assert matrix.description


def test_the_quickstart_has_a_cell_of_every_task_on_embedded_data():
    matrix = load(locate("quickstart"))
    cells = expand(matrix, None)
    assert {cell.settings.task.name for cell in cells} == {"classification", "detection", "segmentation"}
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
    assert [cell.settings.task.name for cell in cells] == ["classification"] * 2 + ["detection"] * 2
    assert {cell.settings.tracking.wandb for cell in expand(matrix.tracked("online"), None)} == {"online"}


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
        (
            {"recipes": ["opi", "tdif"], "time_steps": [64, 128]},
            "the matrix",
            "recipe 'tdif': neuron 'temporal-weight' runs 127 time steps at most, got 128",
        ),
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
    recipe = load(path).recipes[0].recipe
    assert recipe.neuron.gamma == 10
    assert recipe.label == "burst gamma=10"


PLAIN = """\
name: plain
datasets:
  - {name: digits, size: 8}
networks: [small_cnn]
recipes: [opi, burst]
time_steps: [1, 4]
training:
  epochs: 3
"""


def refused(path) -> str:
    with pytest.raises(MatrixError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_keys_that_stand_twice_are_named_with_both_lines(write_matrix):
    path = write_matrix(PLAIN + "  epochs: 9\nrecipes: [spicalib]\n")
    assert refused(path).splitlines() == [
        f"{path}:9: the key `epochs` stands here and in {path}:8; keep one of them",
        f"{path}:10: the key `recipes` stands here and in {path}:5; keep one of them",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[1, 4]", "[true]", "time_steps: true is a truth value, not a number; write a number (line 6)"),
        ("[1, 4]", "[1, yes]", "line 6 has `yes`, which is read as true"),
        ("[1, 4]", "[1:30]", ":6: `1:30` is 90, in base 60"),
        ("[1, 4]", "[010]", ":6: `010` is 8, in base 8"),
        ("[1, 4]", "[.inf]", ":6: `.inf` is not a finite number"),
        ("[1, 4]", "[1.5]", "time_steps.0: Input should be a valid integer"),
        ("[1, 4]", "off", "line 6 has `off`, which is read as false: put quotes round it if it is a name"),
        ("epochs: 3", "epochs: on", "training.epochs: true is a truth value, not a number"),
        ("epochs: 3", "epochs: on", "line 8 has `on`, which is read as true"),
        ("epochs: 3", "lr: .nan", ":8: `.nan` is not a finite number"),
        ("epochs: 3", "lr: nan", "training.lr: Input should be a finite number (line 8)"),
        ("epochs: 3", "lr: inf", "training.lr: Input should be a finite number"),
        ("epochs: 3", "lr: yes", "line 8 has `yes`"),
        ("epochs: 3", "lr: 1e999", ":8: `1e999` is too large"),
        ("epochs: 3", "epochs: " + "9" * 5000, "(5000 characters) is a whole number of more than 18 digits"),
        (
            "name: plain",
            "name: no",
            "line 1 has `no`, which is read as false: put quotes round it if it is a",
        ),
        ("name: plain", "name: 12", "`12` is read as 12: put quotes round it if it is a name"),
        ("name: plain", "name: 1e3", "`1e3` is read as 1000.0: put quotes"),
        ("name: plain", "name: " + "a" * 300, "name: String should have at most 120 characters (line 1)"),
        ("[small_cnn]", "[on]", "line 4 has `on`, which is read as true"),
        ("[opi, burst]", "[opi, off]", "line 5 has `off`, which is read as false"),
        ("[opi, burst]", "[{preset: burst, neuron: {gamma: yes}}]", "gamma"),
        ("size: 8", "size: yes", "got True (line 3); line 3 has `yes`, which is read as true"),
        ("size: 8", "size: 010", ":3: `010`"),
        ("size: 8", f"path: {'a' * 300}", "has no option 'path'"),
        ("{name: digits, size: 8}", f"{{name: imagenet, path: {'a' * 300}}}", "at most 255 bytes"),
        (
            "{name: digits, size: 8}",
            f"{{name: digits, label: {'a' * 300}}}",
            "at most 120 characters (line 3)",
        ),
        ("[1, 4]", "[1, 4]\nseeds: [false]", "seeds: false is a truth value"),
        ("[1, 4]", "[1, 4]\ntrainer: {devices: true}", "trainer.devices: true is a truth value"),
        ("[1, 4]", "[1, 4]\ntuning: {trials: true}", "tuning.trials: true is a truth value"),
        ("[1, 4]", "[1, 4]\npictures: true", "pictures: true is a truth value"),
        ("[1, 4]", "[1, 4]\ntracking: {wandb: off}", "line 7 has `off`, which is read as false: put quotes"),
        ("[1, 4]", "[1, 4]\nalso: [{time_steps: [on]}]", "also.0.time_steps: true is a truth value"),
        ("[1, 4]", "[1, 4]\non: 3", ":7: the key `on` is read as true; put quotes round a name"),
    ],
)
def test_what_a_word_was_read_as_is_said_with_its_line(write_matrix, old, new, said):
    assert old in PLAIN
    assert said in refused(write_matrix(PLAIN.replace(old, new)))


def test_truth_values_are_read_where_truth_is_meant(write_matrix):
    for word in ("true", "yes", "on", "True"):
        text = PLAIN.replace("{name: digits, size: 8}", f"{{name: cifar10, augment: {word}}}")
        matrix = load(write_matrix(text + f"trainer: {{deterministic: {word}}}\ntuning: {{prune: {word}}}\n"))
        assert matrix.datasets[0].options == {"augment": True}
        assert matrix.trainer.deterministic is True
        assert matrix.tuning.prune is True


def test_anchors_and_merged_mappings_are_read(write_matrix):
    text = PLAIN + "also:\n  - &more\n    recipes: [opi]\n    seeds: [1]\n    datasets: [digits]\n"
    text += "    networks: [small_cnn]\n  - {<<: *more, seeds: [2]}\n"
    assert [also.seeds for also in load(write_matrix(text)).also] == [[1], [2]]


def test_aliases_that_stand_for_too_much_are_one_error(write_matrix):
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    message = refused(write_matrix("a0: &a0 [x, x]\n" + laughs + PLAIN))
    assert "stands for more than 20000 values, aliases included" in message
    assert "\n" not in message
    assert "more than 50 deep" in refused(write_matrix(PLAIN + "description: " + "[" * 200 + "]" * 200))


def test_a_name_that_no_file_can_have_is_no_traceback():
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(MatrixError, match="no matrix file"):
            locate(name)


def test_a_checkpoint_that_no_file_can_be_is_no_traceback(write_matrix, tmp_path):
    text = PLAIN.replace("[small_cnn]", f"[{{name: small_cnn, checkpoint: {'a' * 300}}}]")
    with pytest.raises(AnnError, match="no checkpoint file"):
        expand(load(write_matrix(text)), tmp_path)[0].ann.checkpoint  # noqa: B018
