import pytest
import torch

from conversion import convert, recipe_from
from conversion.neurons import DelaySpike, Parallel
from conversion.parts import build_part


def test_it_sends_the_closed_form_the_first_steps_first(run, transient) -> None:
    current = transient(20, 50)
    spikes, v = run(Parallel(), current, 0.5)
    count = (current.sum(0) + 0.5).floor().clamp(0, 20)
    assert (count > 3).any()
    for image in range(2):
        for index in range(50):
            sent = int(count[image, index])
            assert spikes[:, image, index].tolist() == [1.0] * sent + [0.0] * (20 - sent)
    torch.testing.assert_close(v, current.sum(0) + 0.5 - count)


def test_the_same_counts_as_neurons_that_wait(run, transient) -> None:
    current = transient(12, 40)
    waiting, _ = run(DelaySpike(), current, 0.5)
    parallel, _ = run(Parallel(), current, 0.5)
    assert torch.equal(waiting.sum(0), parallel.sum(0))


def test_of_pooled_neurons_the_spikes_are_those_of_the_one_that_sends_most(run, transient) -> None:
    spikes, _ = run(Parallel(), transient(16, 8), 0.5)
    assert torch.equal(spikes.amax(2).sum(0), spikes.sum(0).amax(1))


def test_a_spike_may_take_more_off_the_membrane_than_it_transmits(run) -> None:
    current = torch.tensor([[[0.9, 0.9, 2.6]]], dtype=torch.float64).repeat(4, 1, 1)  # sums 3.6 and 10.4
    spikes, v = run(Parallel((1.0, 2.0, 3.0)), current)
    assert spikes.sum(0).tolist() == [[3.0, 1.0, 3.0]]
    torch.testing.assert_close(v, torch.tensor([[0.6, 1.6, 1.4]], dtype=torch.float64))


def test_levels_survive_plain_data_and_are_checked() -> None:
    neuron = Parallel((0.5, 1.25))
    assert build_part("neuron", {**neuron.as_dict(), "level": [0.5, 1.25]}) == neuron
    for level in (0.0, -1.0, (), (1.0, 0.0)):
        with pytest.raises(ValueError, match="level must be positive"):
            Parallel(level)


@pytest.mark.parametrize("preset", ["parallel", "tpp"])
def test_latency_is_a_window_a_layer_and_pipelined_one(preset: str, branchy, images, calibration) -> None:
    snn = convert(branchy, preset, calibration, time_steps=6)
    depth = snn.plan.depth
    assert depth == 4  # stem, left, joined, side
    (readout,) = snn.simulate(images, (6,))
    assert readout.t_total == 6 * depth
    assert snn.plan.steps_between(6) == 6


@pytest.mark.parametrize(("preset", "total"), [("delay-spike", 6 + 4 * 6), ("tdif", 6 + 4 * 6), ("opi", 6)])
def test_every_recipe_says_both(preset: str, total: int, branchy, calibration) -> None:
    snn = convert(branchy, preset, calibration)
    assert (snn.plan.steps_run(6), snn.plan.steps_between(6)) == (total, 6)


def test_steps_before_count_both_times(branchy, calibration) -> None:
    snn = convert(branchy, {"preset": "opi", "initial": {"name": "residual", "tau": 3}}, calibration)
    assert (snn.plan.steps_run(6), snn.plan.steps_between(6)) == (9, 9)


def test_it_is_binary() -> None:
    assert recipe_from("parallel").group == "binary"
    assert recipe_from("parallel-qcfs").group == "retrained"
