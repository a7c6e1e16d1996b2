import pytest
import torch

from conversion import convert, recipe_from
from conversion.neurons import Burst, Integer


def test_without_leak_it_is_a_burst_neuron_that_starts_half_full(run, transient) -> None:
    current = transient(40, 50)
    numbers, v = run(Integer(3), current)
    bursts, same = run(Burst(3), current, 0.5)
    assert torch.equal(numbers, bursts)
    torch.testing.assert_close(v + 0.5, same)


@pytest.mark.parametrize("decay", [0.25, 1.0])
@pytest.mark.parametrize("most", [1, 4])
def test_published_recurrence_one_number_at_a_time(most: int, decay: float, run, transient) -> None:
    current = transient(30, 10)
    numbers, _ = run(Integer(most, decay), current)
    for index in range(10):
        v, s = 0.0, 0
        for t, x in enumerate(current[:, 0, index].tolist()):
            v = decay * (v - s) + x
            s = round(min(max(v, 0.0), float(most)))
            assert numbers[t, 0, index] == s


def test_one_step_counts_as_many_binary_ones(branchy, images, calibration) -> None:
    recipe = recipe_from({"preset": "maxnorm", "neuron": {"name": "integer", "most": 6}})
    assert recipe.group == "binary"
    (readout,) = convert(branchy, recipe, calibration).simulate(images, (3,))
    assert readout.t_total == 18
