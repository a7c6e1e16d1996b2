"""Studies as data and as figures, without any tuner."""

import json

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.page.study_views import history, ranked, views
from leaderboard.records.record import Tuning
from leaderboard.store.studies import Study, Trial, load_studies, write_study


def tuning(**changes):
    values = {
        "study": "0123456789abcdef", "dataset": "digits", "network": "small_cnn", "seed": 0,
        "objective": "kl", "t": 32, "images": 100, "sampler": "gp", "sampler_seed": 0, "trials": 4,
        "pruned": 1, "seconds": 1.5, "image_steps": 1e4, "ann_forwards": 4e4, "value": 0.1, "default": 0.5,
    }  # fmt: skip
    return Tuning(**{**values, **changes})


def trial(value, state="complete", t=32, **changes):
    values = {"scale.p": 0.99}
    return Trial(
        state=state, value=value, t=t, values=values, given=False, readings={t: value}, seconds=0.1, **changes
    )


def study(**changes):
    values = {
        "matrix": "tiny", "recipe": "burst", "tuning": tuning(), "maximise": False,
        "best": {"scale.p": 0.98765, "neuron.gamma": 7}, "parts": {}, "importance": {"b": 0.2, "a": 0.8},
        "trials": [trial(0.5), trial(0.7), trial(0.3, "pruned", 16), trial(0.1)],
        "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Study(**{**values, **changes})


def test_a_study_survives_its_file(tmp_path):
    write_study(tmp_path, study())
    assert load_studies(tmp_path) == [study()]


def test_what_is_no_study_is_passed_over(tmp_path):
    path = write_study(tmp_path, study())
    (path.parent / "broken.json").write_text("{")
    (path.parent / "other.json").write_text("[]")
    newer = {**json.loads(path.read_text()), "schema_version": 99}
    (path.parent / "newer.json").write_text(json.dumps(newer))
    assert load_studies(tmp_path) == [study()]
    assert load_studies(tmp_path / "nowhere") == []


def test_what_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(StoreError, match="refused to write"):
        write_study(tmp_path, study(best={"scale.p": object()}))


def test_the_best_so_far_counts_finished_trials_only():
    best, finished, pruned = history(study())["data"]
    assert (best["x"], best["y"]) == ([1, 2, 4], [0.5, 0.5, 0.1])
    assert (finished["x"], finished["y"]) == ([1, 2, 4], [0.5, 0.7, 0.1])
    assert (pruned["x"], pruned["y"]) == ([3], [0.3])


def test_the_best_so_far_of_a_metric_rises():
    found = history(study(maximise=True, trials=[trial(0.5), trial(0.4), trial(0.9)]))
    assert found["data"][0]["y"] == [0.5, 0.5, 0.9]
    assert found["layout"]["yaxis"]["type"] == "linear"


def test_trials_without_a_value_leave_no_mark():
    refused = Trial(
        state="pruned", value=None, t=None, values={}, given=False, readings={}, seconds=0, refused="energy"
    )
    names = [trace["name"] for trace in history(study(trials=[trial(0.5), refused]))["data"]]
    assert names == ["best so far", "finished"]


def test_the_most_important_parameter_comes_first():
    assert ranked({"b": 0.2, "a": 0.8, "c": 0.2}) == [("a", 0.8), ("b", 0.2), ("c", 0.2)]


def test_a_view_says_what_was_found():
    (view,) = views([study()])
    assert view.title == "burst on digits / small_cnn, seed 0"
    assert view.best == [("scale.p", "0.9877"), ("neuron.gamma", "7")]
    assert view.gained
    assert not views([study(tuning=tuning(value=0.5))])[0].gained
