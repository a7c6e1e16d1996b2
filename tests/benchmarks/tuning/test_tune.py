"""Tuning a whole matrix, as a user does it."""

import json
from dataclasses import replace

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.matrix import load
from datamodules.base import DataModule
from datamodules.digits import Digits
from leaderboard import ResultStore
from leaderboard.store.studies import load_studies

MATRIX = {
    "name": "tiny",
    "datasets": [{"name": "digits", "size": 8}],
    "networks": ["small_cnn"],
    "recipes": ["maxnorm", "burst"],
    "time_steps": [1, 4],
    "training": {"epochs": 1},
    "evaluation": {"calibration_images": 32, "test_images": 40, "batch_size": 20},
    "tracking": {"wandb": "off"},
    "tuning": {"trials": 5, "startup_trials": 3, "sampler": "tpe", "images": 30},
}


def spikemark(*words):
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The tiny matrix, tuned without any access to the test split."""
    folder = tmp_path_factory.mktemp("tuning")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(MATRIX))

    def forbidden(*_, **__):
        raise AssertionError("tuning touched the test split")

    with pytest.MonkeyPatch.context() as patch:
        real = Digits._samples
        patch.setattr(
            Digits,
            "_samples",
            lambda self, split, **k: forbidden() if split == "test" else real(self, split, **k),
        )
        patch.setattr(DataModule, "test_dataloader", forbidden)
        patch.setattr(DataModule, "_test", forbidden)
        for objective in ("kl", "metric"):
            out = folder / f"{objective}.yaml"
            words = ["--results", folder / "results", "--objective", objective, "--out", out]
            done = spikemark("tune", folder / "tiny.yaml", *words)
            assert done.exit_code == 0, done.output
    return folder


def studies(lab, objective):
    return [s for s in load_studies(lab / "results") if s.tuning.objective == objective]


@pytest.mark.parametrize(("objective", "better"), [("kl", min), ("top1", max)])
def test_every_recipe_gets_the_same_budget_and_images(lab, objective, better):
    found = studies(lab, objective)
    assert [study.recipe for study in found] == ["burst", "maxnorm"]
    for study in found:
        assert study.tuning.trials == len(study.trials) == 5
        assert study.tuning.images == 30
        assert (study.tuning.sampler, study.tuning.sampler_seed, study.tuning.t) == ("tpe", 0, 4)
        complete = [trial.value for trial in study.trials if trial.state == "complete"]
        assert study.tuning.value == better(complete)
        assert study.tuning.default == study.trials[0].value
        assert better(study.tuning.value, study.tuning.default) == study.tuning.value
        assert study.trials[0].given


def test_the_tuned_matrix_is_the_same_but_for_its_recipes(lab):
    before, after = load(lab / "tiny.yaml"), load(lab / "kl.yaml")
    assert after.name == "tiny-tuned"
    same = {"datasets", "time_steps", "seeds", "training", "evaluation", "trainer", "tracking", "recipes"}
    assert before.model_dump(include=same) == after.model_dump(include=same)
    for entry, study in zip(after.networks[0].recipes, reversed(studies(lab, "kl")), strict=True):
        assert entry.written["preset"] == study.recipe
        assert {kind: entry.written[kind] for kind in study.parts} == study.parts


def test_the_tuned_matrix_runs_and_its_records_say_how_they_were_tuned(lab):
    done = spikemark("run", lab / "kl.yaml", "--results", lab / "results")
    assert done.exit_code == 0, done.output
    records = ResultStore(lab / "results").load().records
    assert len(records) == 2
    by_study = {study.tuning.study: study for study in studies(lab, "kl")}
    for record in records:
        assert record.tuning == by_study[record.tuning.study].tuning
        assert record.method.parts == by_study[record.tuning.study].parts
        assert "tuning" not in record.config


def test_tuning_changes_the_cell_by_its_parameters_only(lab):
    from benchmarks.cells import expand

    tuned = load(lab / "kl.yaml")
    plain = [replace(entry, tuning=None) for entry in tuned.networks[0].recipes]
    network = tuned.networks[0].model_copy(update={"recipes": plain})
    without = tuned.model_copy(update={"networks": [network]})
    assert [cell.id for cell in expand(tuned, None)] == [cell.id for cell in expand(without, None)]


def test_a_tuned_recipe_runs_only_where_it_was_tuned(lab):
    from benchmarks.cells import expand

    tuned = load(lab / "kl.yaml")
    assert len(expand(tuned, None)) == 2
    assert len(expand(tuned.model_copy(update={"seeds": [0, 1]}), None)) == 2
    assert expand(tuned.model_copy(update={"seeds": [1]}), None) == []


def test_the_page_shows_the_studies(lab):
    page = lab / "page.html"
    spikemark("run", lab / "kl.yaml", "--results", lab / "results")
    done = spikemark("leaderboard", "--results", lab / "results", "--html", page)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "How recipes were tuned" in text
    assert text.count('id="study-') == 4
    assert "burst on digits / small_cnn, seed 0" in text


def test_a_finished_matrix_is_not_tuned_again(lab):
    before = [study.trials for study in load_studies(lab / "results")]
    words = ["--results", lab / "results", "--out", lab / "again.yaml"]
    assert spikemark("tune", lab / "tiny.yaml", *words).exit_code == 0
    assert [study.trials for study in load_studies(lab / "results")] == before
    assert (lab / "again.yaml").read_text() == (lab / "kl.yaml").read_text()


def test_searching_recipes_keeps_to_its_constraint(lab):
    words = ["--recipe", "auto", "--t-total", 4, "--max-per-step", 2, "--alphabet", "burst", "--trials", 6]
    search = {"scale": ["percentile", "maximum"], "correction": ["none"]}
    content = {**MATRIX, "tuning": {**MATRIX["tuning"], "search": search}}
    (lab / "auto.yaml").write_text(yaml.safe_dump(content))
    out = lab / "auto-tuned.yaml"
    done = spikemark("tune", lab / "auto.yaml", "--results", lab / "auto", "--out", out, *words)
    assert done.exit_code == 0, done.output
    (study,) = load_studies(lab / "auto")
    assert len(study.trials) == 6
    assert study.trials[0].given
    assert study.trials[0].values["scale"] == "maximum"  # of the matrix's recipes, burst sends 5 a step
    assert not study.trials[1].given
    assert all(trial.values["scale"] in search["scale"] for trial in study.trials)
    (entry,) = load(out).networks[0].recipes
    assert entry.recipe.label == "auto: burst, max 2 a step, t_total 4"
    assert entry.tuning.constraint == "burst, max 2 a step, t_total 4"
    assert getattr(entry.recipe.neuron, "gamma", 1) <= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sampler", "annealing"], "annealing"),
        (["--objective", "loss"], "loss"),
        (["--recipe", "brust"], "no recipe 'brust'"),
        (["--images", 33, "--objective", "kl"], "tuning.images is 33"),
        (["--energy", 0.5], "add --recipe auto"),
        (["--recipe", "auto", "--sampler", "gp"], "use sampler tpe or random"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(lab, words, message):
    done = spikemark("tune", lab / "tiny.yaml", "--results", lab / "other", *words)
    assert done.exit_code != 0
    assert message in done.output


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"sampler": "annealing"}, "tuning.sampler"),
        ({"objective": "loss"}, "tuning.objective"),
        ({"trails": 3}, "did you mean 'trials'"),
    ],
)
def test_a_matrix_with_a_wrong_setting_is_refused_by_name(lab, tmp_path, tuning, message):
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({**MATRIX, "tuning": tuning}))
    done = spikemark("tune", tmp_path / "wrong.yaml")
    assert done.exit_code == 1
    assert message in done.output


def test_an_entry_whose_tuning_is_not_complete_is_refused(lab, tmp_path):
    content = yaml.safe_load((lab / "kl.yaml").read_text())
    del content["networks"][0]["recipes"][0]["tuning"]["trials"]
    (tmp_path / "cut.yaml").write_text(yaml.safe_dump(content))
    done = spikemark("run", tmp_path / "cut.yaml")
    assert done.exit_code == 1
    assert "tuning.trials" in done.output


def test_the_studies_are_plain_json(lab):
    for path in (lab / "results" / "tuning").glob("*.json"):
        assert json.loads(path.read_text())["tuning"]["study"] == path.stem
