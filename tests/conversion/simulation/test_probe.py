"""The probe: what it chooses is kept and used, and never seen in a result."""

import json
import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from conversion import convert
from conversion.simulation import probe as probing
from conversion.simulation.backend import Schedule
from conversion.simulation.compiled.backend import Compiled
from conversion.simulation.compiled.native import has_synapses, has_tables, kernel
from conversion.simulation.compiled.schedule import candidates
from conversion.simulation.probe import Probe

RULE, FAST, SLOW = (Schedule(*size, "tables") for size in ((32, 16), (16, 16), (32, 8)))
OPTIONS = [RULE, FAST, SLOW]
SECONDS = {RULE: 2e-6, FAST: 1e-6, SLOW: 3e-6}
MUCH = 1e18  # multiply-accumulates: worth a probe


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEMARK_CACHE", str(tmp_path))
    monkeypatch.delenv("SPIKEMARK_PROBE", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    ann = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 36, 10),
    )  # fmt: skip
    return convert(ann.eval(), "opi", torch.randn(8, 3, 6, 6))


def new_probe(network):
    return Probe(network.plan, {name: layer.neuron for name, layer in network.layers.items()})


def choose(probe, operations=MUCH, situation=("int16",), seconds=SECONDS, options=OPTIONS):
    """What is chosen, and what was timed for it."""
    timed = []

    def measure(schedule, budget):
        assert 0 < budget <= probing.MOST_SECONDS
        timed.append(schedule)
        return seconds[schedule]

    return probe.choose(Compiled(), options, operations, situation, measure), timed


def test_the_fastest_is_chosen_once_and_kept_on_disk(network, folder):
    probe = new_probe(network)
    assert choose(probe) == (FAST, OPTIONS)
    assert choose(probe) == (FAST, [])
    assert len(list(folder.iterdir())) == 1
    assert choose(new_probe(network), operations=1) == (FAST, [])  # another process, less work
    assert choose(probe, situation=("float32",))[1] == OPTIONS
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert choose(probe)[1] == OPTIONS
    finally:
        torch.set_num_threads(threads)


def test_a_difference_within_noise_leaves_the_rule(network):
    assert choose(new_probe(network), seconds={RULE: 1e-6, FAST: 0.97e-6, SLOW: 3e-6})[0] == RULE


def test_little_work_is_not_probed_until_there_was_much(network, folder):
    probe = new_probe(network)
    assert choose(probe, operations=1e6) == (RULE, [])
    probe.note(seconds=30.0, operations=1e9)
    assert choose(probe, operations=1e6) == (RULE, [])  # 30 s are not worth it, and 30 ms more neither
    assert choose(probe, operations=1e9)[0] == FAST  # as much again is: 60 s
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"schedule": {"images": 1}}', "null"])
def test_a_damaged_file_is_ignored(text, network, folder):
    choose(new_probe(network))
    (file,) = folder.iterdir()
    file.write_text(text)
    assert choose(new_probe(network), operations=1) == (RULE, [])
    assert choose(new_probe(network)) == (FAST, OPTIONS)
    assert json.loads(file.read_text())["schedule"]["images"] == FAST.images


def test_a_choice_of_another_key_or_none_of_the_options_is_ignored(network, folder):
    choose(new_probe(network))
    (file,) = folder.iterdir()
    kept = json.loads(file.read_text())
    for changed in (
        kept | {"schedule": {"images": 5, "chunk": 5, "tables": False}},
        kept | {"key": kept["key"] | {"machine": "another"}},
        [kept],
    ):
        file.write_text(json.dumps(changed))
        assert choose(new_probe(network), operations=1) == (RULE, [])
    whole = {name: float(value) if type(value) is int else value for name, value in kept["schedule"].items()}
    file.write_text(json.dumps(kept | {"schedule": whole}))
    found, _ = choose(new_probe(network), operations=1)
    assert repr(found) in (repr(RULE), repr(FAST))
    for content in (b"", b"\xff", b"[" * 100_000, b"1" * 5000, b" " * 2**21):
        file.write_bytes(content)
        assert choose(new_probe(network), operations=1) == (RULE, [])
    file.unlink()
    os.mkfifo(file)
    assert choose(new_probe(network), operations=1) == (RULE, [])


def test_a_folder_that_cannot_be_written_is_no_failure(network, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPIKEMARK_CACHE", str(tmp_path / "file" / "below"))
    assert choose(new_probe(network)) == (FAST, OPTIONS)


def test_it_can_be_switched_off(network, folder, monkeypatch):
    monkeypatch.setenv("SPIKEMARK_PROBE", "0")
    assert choose(new_probe(network)) == (RULE, [])
    assert not list(folder.iterdir())


def test_it_stops_when_its_time_is_spent(network, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(probing, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def measure(schedule, budget):
        clock[0] += 0.4
        timed.append(schedule)
        return 0.4 / (schedule.images * schedule.chunk * probing.LEAST_CHUNKS)

    timed = []
    # 0.6 s of at most 1 s are left after the rule's turn: enough for half of its work, then for nothing more
    assert new_probe(network).choose(Compiled(), OPTIONS, MUCH, ("int16",), measure) == RULE
    assert timed == [RULE, FAST]


@pytest.mark.skipif(
    not (has_tables() and has_synapses()), reason="no tables on this machine (AVX-512 BW and VNNI, or AVX2)"
)
def test_candidates_stay_within_the_batch_and_the_longest_chunk():
    found = candidates(RULE, batch=20, longest=16, planes=1)
    assert found[0] == RULE
    assert len(found) == len(set(found))
    assert Schedule(32, 16, "bytes") in found
    assert all(option.chunk <= 16 for option in found)
    assert all(option.images <= 20 or option.images == RULE.images for option in found)
    assert {option.kernel for option in candidates(Schedule(8, 16, "bytes"), 64, 16, 0)} == {"bytes"}


@pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_results_are_the_same_with_and_without(precision, network, folder, monkeypatch):
    images = torch.randn(40, 3, 6, 6)
    monkeypatch.setenv("SPIKEMARK_PROBE", "0")
    without = list(network.simulate(images, (1, 7, 20), precision=precision))
    monkeypatch.delenv("SPIKEMARK_PROBE")
    monkeypatch.setattr(probing, "LEAST_SECONDS", 0.0)
    kept = None
    for wanted in range(6):  # whatever turns out to be fastest

        def fastest(options, budget, measure, wanted=wanted):
            assert all(measure(option, 0.0) > 0 for option in options)
            return options[wanted % len(options)]

        monkeypatch.setattr(probing, "_fastest", fastest)
        for file in folder.iterdir():
            file.unlink()
        network._cache.probe = new_probe(network)
        before = torch.get_rng_state()
        found = list(network.simulate(images, (1, 7, 20), precision=precision))
        assert torch.equal(before, torch.get_rng_state())
        (file,) = folder.iterdir()
        assert file.read_text() != kept
        kept = file.read_text()
        for ours, theirs in zip(found, without, strict=True):
            assert ours.activity == theirs.activity
            torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-6)
