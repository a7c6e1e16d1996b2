import pytest
import torch

from conversion.neurons import Burst, DelaySpike, IntegrateAndFire, Signed, TimedBias
from conversion.parts import build_part

TABLE = ((0.5, -0.25), (0.0, 1.0), (-0.75, 0.125))


@pytest.mark.parametrize("inner", [IntegrateAndFire(), Burst(3), Signed(2, 0.0)])
@pytest.mark.parametrize("steps", [2, 3, 7])
def test_it_is_the_inner_neuron_with_more_current(inner, steps: int, run) -> None:
    current = torch.randn(steps, 4, 2, 5, dtype=torch.float64)
    more = torch.zeros(steps, 1, 2, 1, dtype=torch.float64)
    for t, row in enumerate(TABLE[:steps]):
        more[t, 0, :, 0] = torch.tensor(row)
    expected, v = run(inner, current + more, 0.5)
    spikes, last = run(TimedBias(inner, TABLE), current, 0.5)
    assert torch.equal(spikes, expected)
    assert torch.equal(last, v)


def test_without_a_table_it_is_the_inner_neuron(run, transient) -> None:
    current = transient(9, 4)
    assert torch.equal(run(TimedBias(Burst(2)), current)[0], run(Burst(2), current)[0])


def test_a_constant_current_and_its_closed_form(run) -> None:
    z = torch.arange(0, 64, dtype=torch.float64).view(1, 1, 2, 32) / 128
    neuron = TimedBias(IntegrateAndFire(), ((0.125, 0.0), (0.125, 0.25), (0.0, 0.0), (0.0, 0.0)))
    spikes, _ = run(neuron, z, 0.25, 4)
    assert torch.equal(spikes.sum(0), neuron.constant(4 * z[0], 0.25, 4))
    assert torch.equal(spikes.sum(0), (4 * z[0] + 0.5).floor())


def test_plain_values_and_back() -> None:
    neuron = TimedBias(Signed(4, 0.0, 4), TABLE)
    plain = neuron.as_dict()
    assert plain["inner"] == {"name": "signed", "gamma": 4, "lower": 0.0, "back": 4}
    assert build_part("neuron", {**plain, "bias": [list(step) for step in TABLE]}) == neuron
    assert build_part("neuron", {"bias": [[1.0]]}, neuron) == TimedBias(Signed(4, 0.0, 4), ((1.0,),))
    assert (neuron.alphabet, neuron.max_per_step) == ("signed", 4)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inner must be a neuron that fires step .*'delay-spike'"):
        TimedBias(DelaySpike())
    for table in (((0.0,), (0.0, 1.0)), ((),)):
        with pytest.raises(ValueError, match="the same channels in every step"):
            TimedBias(bias=table)
