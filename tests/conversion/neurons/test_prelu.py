"""PReLU: a slope for each channel, learned, of any sign."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import RecipeError, convert
from conversion.graph.capture import capture
from conversion.graph.operations import Kind
from conversion.graph.roles import sort_into_roles
from conversion.neurons import ImbalancedThreshold
from conversion.parts import build_part

SLOPES = (0.25, 0.0, 0.5, 1.0, 2.0, -0.5)


def test_rates_are_the_prelu_rounded_towards_zero(run) -> None:
    """One layer against the closed form, channel by channel, within one spike in T."""
    z = torch.linspace(-0.49, 0.99, 75, dtype=torch.float64)
    steps = 400
    spikes, _ = run(ImbalancedThreshold(SLOPES), z.expand(1, 1, len(SLOPES), -1), steps=steps)
    wanted = F.prelu(z.expand(1, len(SLOPES), -1), torch.tensor(SLOPES, dtype=torch.float64))
    assert ((spikes.mean(0) - wanted).abs() <= 1 / steps + 1e-9).all()
    assert (spikes.mean(0).abs() <= wanted.abs() + 1e-9).all()


def test_charge_is_conserved(run) -> None:
    torch.manual_seed(0)
    current = torch.randn(50, 2, len(SLOPES), 3, dtype=torch.float64) * 0.4
    neuron = ImbalancedThreshold(SLOPES)
    spikes, state = neuron.scan(current, 50, neuron.start(torch.zeros_like(current[0])))
    slopes = torch.tensor(SLOPES, dtype=torch.float64).view(1, -1, 1)
    first = spikes == 1
    below = spikes * slopes.sign() == -1
    back = torch.where(slopes == 0, 0.0, 1 / slopes.abs())
    positive_slope = (slopes >= 0).expand_as(spikes[0])  # else a spike may be either
    charge = first.sum(0) - (below & ~first).sum(0) * back + state["v"]
    torch.testing.assert_close(charge[positive_slope], current.sum(0)[positive_slope])


class Net(nn.Module):
    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, len(SLOPES), 3, padding=1), nn.Conv2d(len(SLOPES), 4, 3)
        self.act = nn.PReLU(len(SLOPES))
        self.act.weight.data = slopes

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(self.act(self.first(x)), 2))


class Functional(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(F.prelu(self.first(x), self.act.weight), 2))


@pytest.mark.parametrize("kind", [Net, Functional], ids=lambda kind: kind.__name__)
def test_networks_converge(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network, images = kind(torch.tensor(SLOPES)).eval(), torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        expected = network(images)
    snn = convert(network, {"preset": "spiking-yolo", "pooling": "lateral-inhibition"}, images)
    errors = [float((r.output - expected).abs().max()) for r in snn.simulate(images, (8, 1024))]
    assert errors[1] < 0.02 * float(expected.abs().max())
    assert errors[1] < errors[0]
    assert next(iter(snn.layers.values())).neuron.slope == pytest.approx(SLOPES)


def test_recipes_without_negative_spikes_refuse_by_name() -> None:
    with pytest.raises(RecipeError, match=r"layer 'act' \(torch.nn.PReLU, slopes -0.5 to 2\)"):
        convert(Net(torch.tensor(SLOPES)), "burst", torch.randn(2, 3, 8, 8))


def test_slopes_of_zero_are_a_relu() -> None:
    network, images = Net(torch.zeros(len(SLOPES))).eval(), torch.randn(2, 3, 8, 8)
    assert convert(network, "opi", images)(images, 4).shape == (2, 4, 2, 2)


def test_rrelu_in_eval_mode_has_the_mean_slope() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.RReLU(0.1, 0.3), nn.Linear(4, 2)).eval()
    roles = sort_into_roles(capture(network)).values()
    assert next(role.slope for role in roles if role.kind is Kind.NEURON) == pytest.approx(0.2)


def test_slopes_survive_json() -> None:
    neuron = ImbalancedThreshold(SLOPES)
    assert build_part("neuron", json.loads(json.dumps(neuron.as_dict()))) == neuron


@pytest.mark.parametrize("slopes", [(), (0.1, float("nan")), ("a",)])
def test_impossible_slopes_are_refused(slopes) -> None:
    with pytest.raises(ValueError, match="slopes must be finite numbers"):
        ImbalancedThreshold(slopes)


def test_pools_come_before_neurons_only_where_these_are_monotone() -> None:
    images = torch.randn(2, 3, 8, 8)
    before = {"preset": "spiking-yolo", "pooling": {"name": "before-neuron", "currents": "cumulative"}}
    for slopes, kind in ((torch.full((6,), 0.5), "lateral-inhibition"), (torch.tensor(SLOPES), "gate")):
        report = convert(Net(slopes).eval(), before, images).report
        (pool,) = (entry for entry in report if entry.operation.endswith("max_pool2d"))
        assert pool.became.startswith("before-neuron" if kind != "gate" else "gate")
