import pytest
import torch

from conversion import convert, recipe_from
from conversion.neurons import DelaySpike, IntegrateAndFire


def test_order_of_the_input_does_not_matter(run, transient) -> None:
    current = transient(20, 50)
    spikes, _ = run(DelaySpike(), current, 0.5)
    assert torch.equal(spikes.sum(0), (current.sum(0) + 0.5).floor().clamp(0, 20))
    backwards, _ = run(DelaySpike(), current.flip(0), 0.5)
    assert torch.equal(backwards.sum(0), spikes.sum(0))
    undelayed, _ = run(IntegrateAndFire(), current, 0.5)
    assert not torch.equal(undelayed.sum(0), spikes.sum(0))


@pytest.mark.parametrize("wait", [1, 6, 19, 20, 50])
def test_it_listens_first_and_fires_for_a_whole_window(wait: int, run, transient, scalar_neuron) -> None:
    current = transient(20, 10)
    spikes, _ = run(DelaySpike(wait), current, 0.25)
    for index in range(10):
        arriving = current[:, 1, index].tolist()
        heard = min(wait, 20)
        alone = scalar_neuron(0.25 + sum(arriving[:heard]))
        late = arriving[heard:] + [0.0] * heard
        assert spikes[:, 1, index].tolist() == [alone(x) for x in late]


def test_latency_is_counted(branchy, images, calibration) -> None:
    assert recipe_from("delay-spike").group == "binary"
    for wait, expected in ((0, 6 + 4 * 6), (2, 6 + 4 * 2), (9, 6 + 4 * 6)):
        snn = convert(branchy, {"preset": "delay-spike", "neuron": {"wait": wait}}, calibration)
        assert next(snn.simulate(images, (6,))).t_total == expected
