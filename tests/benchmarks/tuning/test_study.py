"""Laws of a study: budgets, seeds, kills, workers."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from benchmarks.errors import TuningError
from conversion import CalibrationError


def outcome(found):
    return [(trial.params, trial.value, trial.state) for trial in found.trials]


def on_disk(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name="study", storage=storage).trials


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_every_trial_of_the_budget_is_run_and_stays_in_its_ranges(lab, tmp_path, sampler):
    found = lab.study(tmp_path, sampler=sampler, trials=9)
    assert len(found.trials) == 9
    for trial in found.trials:
        for name, (low, high) in lab.search.items():
            assert low <= trial.params[name] <= high


def test_the_first_trial_is_the_recipe_as_it_is(lab, tmp_path):
    subject = lab.Parabola()
    found = lab.study(tmp_path, subject)
    assert found.trials[0].params == {"scale.p": 0.999, "initial.fraction": 0.5}
    assert found.default == pytest.approx(lab.loss(subject.asked[0]))
    assert found.best <= found.default


@pytest.mark.parametrize("maximise", [False, True])
def test_the_best_trial_wins(lab, tmp_path, maximise):
    found = lab.study(tmp_path, lab.Parabola(maximise))
    values = [trial.value for trial in found.trials]
    assert found.best == (max(values) if maximise else min(values))
    assert lab.loss(found.recipe) == pytest.approx(abs(found.best))


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_the_same_seed_gives_the_same_study(lab, tmp_path, sampler):
    small = {"sampler": sampler, "trials": 6, "startup_trials": 3}
    one = lab.study(tmp_path / "one", seed=3, **small)
    assert outcome(one) == outcome(lab.study(tmp_path / "two", seed=3, **small))
    assert outcome(one) != outcome(lab.study(tmp_path / "other", seed=4, **small))


def test_a_finished_study_is_only_read(lab, tmp_path):
    first = lab.study(tmp_path)
    again = lab.Parabola()
    assert outcome(lab.study(tmp_path, again)) == outcome(first)
    assert again.asked == []


def test_the_gaussian_process_finds_a_known_optimum_better_than_chance(lab, tmp_path):
    def regret(sampler, seed):
        found = lab.study(
            tmp_path / f"{sampler}{seed}", sampler=sampler, seed=seed, trials=35, startup_trials=5
        )
        return found.best - 0.001

    guided = regret("gp", 0)
    chance = [regret("random", seed) for seed in range(5)]
    assert guided < 1e-3
    assert guided < statistics.median(chance) / 5


def killed_study(folder, prune, sampler):
    """A study of 12 trials in another process, killed with SIGKILL in the middle of a trial."""
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "from pathlib import Path\n"
        "from conftest import Parabola, study_of\n"
        f"study_of(Path({str(folder)!r}), Parabola(seconds=0.1), prune={prune}, sampler={sampler!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        if (folder / "study.journal").exists():
            with contextlib.suppress(KeyError):  # the study is just being made
                states = [trial.state for trial in on_disk(folder)]
                if len(states) >= 6 and states[-1] is TrialState.RUNNING:
                    break
    assert process.poll() is None, "the study ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("prune", "sampler"), [(False, "random"), (True, "gp")])
def test_a_killed_study_goes_on_and_ends_as_if_nothing_had_happened(lab, tmp_path, prune, sampler):
    killed_study(tmp_path / "killed", prune, sampler)
    assert sum(trial.state is TrialState.RUNNING for trial in on_disk(tmp_path / "killed")) == 1
    resumed = lab.study(tmp_path / "killed", prune=prune, sampler=sampler)
    states = [trial.state for trial in on_disk(tmp_path / "killed")]
    assert states.count(TrialState.FAIL) == 1
    assert states.count(TrialState.RUNNING) == 0
    assert len(resumed.trials) == 12
    assert outcome(resumed) == outcome(lab.study(tmp_path / "whole", prune=prune, sampler=sampler))
    assert not list((tmp_path / "killed").glob("*.worker-*"))  # the dead worker's lock is gone


def test_workers_share_one_budget(lab, tmp_path):
    subjects = [lab.Parabola(seconds=0.01) for _ in range(3)]
    found = []
    threads = [
        threading.Thread(target=lambda s=subject: found.append(lab.study(tmp_path, s, trials=20)))
        for subject in subjects
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sum(len(subject.asked) for subject in subjects) == 20
    assert len(on_disk(tmp_path)) == 20
    assert [len(one.trials) for one in found] == [20, 20, 20]
    assert len({one.best for one in found}) == 1


def test_an_error_leaves_a_trial_that_does_not_count(lab, tmp_path):
    def broken(recipe, t):
        if recipe.initial.fraction != 0.5:
            raise MemoryError("too much")
        return lab.loss(recipe)

    with pytest.raises(MemoryError):
        lab.study(tmp_path, lab.Parabola(at=broken))
    found = lab.study(tmp_path)
    assert len(found.trials) == 12
    assert sum(trial.state is TrialState.FAIL for trial in on_disk(tmp_path)) == 1


def test_values_that_cannot_be_fitted_are_pruned_with_a_reason(lab, tmp_path):
    def fussy(recipe, t):
        if recipe.scale.p < 0.98:
            raise CalibrationError("layer 'conv1': no")
        return lab.loss(recipe)

    found = lab.study(tmp_path, lab.Parabola(at=fussy))
    refused = [trial for trial in found.trials if "refused" in trial.user_attrs]
    assert len(found.trials) == 12
    assert refused
    assert all(t.state is TrialState.PRUNED and t.params["scale.p"] < 0.98 for t in refused)
    assert refused[0].user_attrs["refused"] == "layer 'conv1': no"


def test_a_recipe_that_does_not_fit_at_its_own_values_is_no_study(lab, tmp_path):
    def never(recipe, t):
        raise CalibrationError("layer 'conv1': no")

    with pytest.raises(TuningError, match="cannot be tuned: layer 'conv1': no"):
        lab.study(tmp_path, lab.Parabola(at=never))


def test_trials_that_are_behind_stop_early_and_count(lab, tmp_path):
    found = lab.study(tmp_path, prune=True, trials=20, t=16)
    assert found.pruned > 0
    assert len(found.trials) == 20
    for trial in found.trials:
        read = sorted(trial.intermediate_values)
        if trial.state is TrialState.PRUNED:
            assert read[-1] == 8  # from a half on, and never at the end
        else:
            assert read == [1, 2, 4, 8, 16]
    complete = [trial for trial in found.trials if trial.state is TrialState.COMPLETE]
    assert found.best == min(trial.value for trial in complete)


def test_the_recipe_as_it_is_is_never_pruned(lab, tmp_path):
    def default_is_worst(recipe, t):
        return 10.0 if recipe.initial.fraction == 0.5 else lab.loss(recipe)

    found = lab.study(tmp_path, lab.Parabola(at=default_is_worst), prune=True, startup_trials=1)
    assert found.trials[0].state is TrialState.COMPLETE
    assert found.default == 10.0


def test_the_same_values_are_measured_once(lab, tmp_path):
    subject = lab.Parabola(at=lambda recipe, t: 1.0 + recipe.scale.per_channel)
    found = lab.study(tmp_path, subject, search={"scale.per_channel": None}, trials=10)
    assert len(found.trials) == 10
    assert len(subject.asked) == 2
    repeats = [trial for trial in found.trials if "repeats" in trial.user_attrs]
    assert len(repeats) == 8
    by_choice = {trial.params["scale.per_channel"]: trial.value for trial in found.trials}
    assert by_choice == {False: 1.0, True: 2.0}


def test_only_read_outs_within_the_energy_count(lab, tmp_path):
    subject = lab.Parabola(at=lambda recipe, t: 1 / t, energy=lambda t: t / 10)
    found = lab.study(tmp_path, subject, most_energy=0.5)
    assert found.t == 4
    assert found.best == 0.25


def test_a_network_that_is_too_expensive_from_the_start_is_refused(lab, tmp_path):
    with pytest.raises(TuningError, match=r"energy 0.90 of the ANN's at t = 1, more than 0.5"):
        lab.study(tmp_path, lab.Parabola(energy=lambda t: 0.9), most_energy=0.5)


def test_a_folder_that_cannot_be_written_is_named(lab, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TuningError, match=r"study.journal.*--results"):
        lab.study(tmp_path / "file" / "below")
