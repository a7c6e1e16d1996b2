from collections import Counter

import pytest
import torch

from conversion import convert, recipe_from
from conversion.neurons import TwoPhase


def sums(values: list[float], steps: int) -> torch.Tensor:
    """Currents [T, 1, 20,000 each] whose sums are these values."""
    return (torch.tensor(values, dtype=torch.float64).repeat_interleave(20_000) / steps).repeat(steps, 1, 1)


def test_a_whole_number_is_sent_exactly(run) -> None:
    for steps in (1, 2, 5, 8, 16):  # powers of two and others: no rounding
        current = torch.zeros(steps, 1, 4000)
        current[0] = torch.randint(-3, steps + 4, (1, 4000)).float()
        for seed in range(3):
            spikes, _ = run(TwoPhase(seed), current)
            assert torch.equal(spikes.sum(0), current.sum(0).clamp(0, steps))


def test_other_sums_are_sent_as_a_whole_number_beside_them(run, transient) -> None:
    current = transient(12, 4000)
    spikes, v = run(TwoPhase(), current, 0.25)
    total = current.sum(0) + 0.25
    assert (spikes.sum(0) >= total.floor().clamp(0, 12)).all()
    assert (spikes.sum(0) <= total.ceil().clamp(0, 12)).all()
    torch.testing.assert_close(v, total - spikes.sum(0))
    beside = (total > 0) & (total < 12)
    up = (spikes.sum(0) > total)[beside]
    assert 0.2 < up.double().mean() < 0.8


def test_every_order_is_as_likely_as_any_other(run) -> None:
    spikes, _ = run(TwoPhase(3), sums([2.0], 4))
    seen = Counter(tuple(row) for row in spikes[:, 0].T.int().tolist())
    assert len(seen) == 6  # 4 choose 2
    for count in seen.values():
        assert abs(count / 20_000 - 1 / 6) < 0.015
    for sent in (1.0, 3.0):
        spikes, _ = run(TwoPhase(3), sums([sent], 4))
        torch.testing.assert_close(
            spikes.mean((1, 2)), torch.full((4,), sent / 4).double(), rtol=0, atol=0.015
        )


def test_the_first_step_has_the_probability_that_the_paper_gives(run) -> None:
    for total in (0.3, 1.5, 2.2, 3.7):
        spikes, _ = run(TwoPhase(1), sums([total], 4))
        assert abs(float(spikes[0].mean()) - total / 4) < 0.015


def test_draws_are_even_and_differ_by_step_seed_and_layer() -> None:
    places = torch.arange(50_000)
    seen = []
    for neuron, step in ((TwoPhase(), 0), (TwoPhase(), 1), (TwoPhase(1), 0), (TwoPhase().of_layer("a"), 0)):
        draws = neuron.draws(places, step).double()
        assert 0 <= draws.min() < draws.max() < 1
        counts = torch.histc(draws, 20, 0, 1)
        assert (counts / 2500 - 1).abs().max() < 0.08
        assert abs(float(torch.corrcoef(torch.stack([draws[:-1], draws[1:]]))[0, 1])) < 0.02
        seen.append(draws)
    together = torch.corrcoef(torch.stack(seen)) - torch.eye(4, dtype=torch.float64)
    assert together.abs().max() < 0.02


def test_neither_batch_nor_chunk_nor_run_matters(branchy, images, calibration) -> None:
    snn = convert(branchy, "tpp", calibration, time_steps=6)
    (whole,) = snn.simulate(images, 6)
    (again,) = snn.simulate(images, 6, chunk=1)
    assert torch.equal(whole.output, again.output)
    for index in range(len(images)):
        (alone,) = snn.simulate(images[index : index + 1], 6)
        torch.testing.assert_close(alone.output[0], whole.output[index])
    torch.manual_seed(5)
    torch.rand(100)
    (later,) = convert(branchy, "tpp", calibration, time_steps=6).simulate(images, 6)
    assert torch.equal(later.output, whole.output)


def test_seeds_differ_and_layers_draw_their_own(branchy, images, calibration) -> None:
    outputs = []
    for seed in (0, 1):
        recipe = {"preset": "tpp", "neuron": {"seed": seed}}
        snn = convert(branchy, recipe, calibration, time_steps=4).at(4)
        neurons = [layer.neuron for layer in snn.layers.values()]
        assert len({neuron.layer for neuron in neurons}) == len(neurons) > 1
        assert {neuron.seed for neuron in neurons} == {seed}
        outputs.append(next(snn.simulate(images, 4)).output)
    assert not torch.equal(*outputs)
    assert recipe_from({"preset": "tpp", "neuron": {"seed": 7}}).label == "tpp seed=7"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_bad_seeds_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed must be in"):
        TwoPhase(seed)
