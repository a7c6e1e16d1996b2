"""Sign gradient descent: the output follows the decoded input to within the size of a step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.neurons import SignDescent


@pytest.mark.parametrize(("decay", "reach"), [(0.95, 2), (0.8, 1), (0.5, 3)])
def test_settled_input_is_followed_to_within_a_step(decay: float, reach: int) -> None:
    neuron = SignDescent(decay, reach)
    rest = reach * (2 * torch.rand(400, dtype=torch.float64) - 1)
    state = neuron.at_rest(rest, neuron.start(torch.zeros_like(rest)))
    spikes, _ = neuron.scan(rest[None], 60, state)
    assert set(spikes.flatten().tolist()) == {-1.0, 1.0}
    weights = neuron.coding.weights(0, 60)[:, None]
    decoded = (weights * spikes).cumsum(0)
    left = reach * decay ** torch.arange(1, 61, dtype=torch.float64)[:, None]  # what is still to come
    assert ((decoded - rest).abs() <= left + 1e-12).all()
    near = rest.abs() <= 0.5 * reach  # where the first steps arrive early
    assert ((decoded - rest).abs()[12:, near] <= weights[12:] + 1e-12).all()


def test_input_that_moves_is_followed_as_long_as_steps_suffice() -> None:
    neuron = SignDescent(0.9, 4)
    rest = torch.zeros(50, dtype=torch.float64)
    changes = torch.zeros(80, 50, dtype=torch.float64)
    changes[:30] = torch.randn(30, 50, dtype=torch.float64)
    weights = neuron.coding.weights(0, 80)[:, None]
    state = neuron.at_rest(rest, neuron.start(torch.zeros_like(rest)))
    spikes, _ = neuron.scan(changes, 80, state)
    wanted, decoded = (weights * changes).sum(0), (weights * spikes).cumsum(0)
    reachable = (decoded[29] - wanted).abs() <= weights[30:].sum()
    assert reachable.float().mean() > 0.9
    assert ((decoded[-1] - wanted).abs()[reachable] <= 2 * weights[-1]).all()


@pytest.mark.parametrize("function", [F.relu, F.silu, F.gelu, torch.tanh, F.softplus])
def test_a_layer_ends_at_its_function(function) -> None:
    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(2 * x - 0.3)

    x = torch.randn(100, 7)
    snn = convert(Layer().eval(), "sign-gd", x)
    for readout in snn.simulate(x, (1, 40, 400, 2000), chunk=64):
        last = readout.output
    torch.testing.assert_close(last, function(2 * x - 0.3), rtol=1e-3, atol=1e-3)
    assert readout.t_total == 2001
