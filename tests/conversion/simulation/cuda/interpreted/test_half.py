"""Half precision: exact where its digits suffice, and off by their rounding elsewhere."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.simulation.choice import use
from conversion.simulation.cuda.half import half_weights
from conversion.simulation.cuda.prepared import Prepared

HALVES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # precision -> rounding error of a number, at most


class Net(nn.Module):
    """Pools, a concatenation, a residual sum, groups; for [B, 2, 4, 4]."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.third, self.fourth = nn.Conv2d(8, 4, 1, bias=False), nn.Conv2d(4, 4, 1)
        self.hidden, self.head = nn.Linear(16, 6), nn.Linear(6, 3)

    def forward(self, image):
        x = F.relu(self.first(image))
        y = F.relu(self.second(x) + x)
        z = F.relu(self.third(torch.cat([x, y], 1)))
        z = F.max_pool2d(F.relu(self.fourth(z) + z), 2)
        return self.head(F.relu(self.hidden(z.flatten(1))))


@pytest.fixture
def network():
    generator = torch.Generator().manual_seed(0)
    made = Net().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randint(-2, 4, parameter.shape, generator=generator) / 4)
    return made


@pytest.fixture
def images():
    return torch.randint(-4, 8, (2, 2, 4, 4), generator=torch.Generator().manual_seed(1)) / 8


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("recipe", ["opi", "spicalib"])
def test_weights_of_few_digits_give_the_spikes_of_float32(recipe, precision, network, images):
    snn = convert(network, recipe, images)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 2.0, 1.0)[index % 3])
    with use("triton"):
        (ours,) = snn.simulate(images, 4, precision=precision)
    with use("pytorch"):
        (theirs,) = snn.simulate(images, 4)
    assert ours.ran.precision == precision
    assert ours.ran.layers[precision] == 4  # the first layer sees the image, the last a mean
    assert ours.activity.spikes == theirs.activity.spikes
    assert sum(theirs.activity.spikes.values()) > 20
    torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", HALVES)
def test_bytes_where_no_weights_follow(precision, network, images):
    prepared = Prepared(convert(network, "opi", images).fitted, precision)
    carriers = {layer.name: prepared.carrier(node, 1) for node, layer in prepared.layers.items()}
    kinds = [carrier == torch.int8 for carrier in carriers.values()]
    assert kinds == [False, False, False, True, False]  # only the pooled one; of the last, the mean is sent
    assert not any(prepared.carrier(node, 128) == torch.int8 for node in prepared.layers)


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 6, 3, padding=1, groups=2), nn.Linear(8, 6)], ids=str)
@pytest.mark.parametrize("precision", HALVES)
def test_currents_are_the_layers_own_within_their_rounding(precision, layer):
    size = (5, 5) if isinstance(layer, nn.Conv2d) else ()
    network = nn.Sequential(nn.Identity(), nn.ReLU(), layer, nn.ReLU())
    snn = convert(network.eval(), "burst", torch.randn(4, 8, *size))
    fitted, dtype = snn.fitted, getattr(torch, precision)
    found = [half_weights(fitted, node, dtype, 5) for node in fitted.plan.roles]
    (weights,) = [one for one in found if one is not None]
    spikes = torch.randint(0, 6, (3, 8, *size))
    threshold = next(iter(snn.thresholds.values()))
    currents = weights(spikes, 1).data
    with torch.no_grad():
        exact = layer.double()((spikes * threshold).double())
        layer.weight.abs_(), layer.bias.abs_()
        bound = layer((spikes * threshold).double()) * 2.1 * HALVES[precision]
    assert bool(((currents - exact).abs() <= bound).all())
    assert float((currents - exact).abs().max()) > 1e-5


def test_no_sum_overflows():
    layer = nn.Linear(4096, 2, bias=False)
    layer.weight.data.fill_(30.0)
    network = nn.Sequential(nn.Identity(), nn.ReLU(), layer, nn.ReLU()).eval()
    snn = convert(network, "burst", torch.rand(2, 4096))
    found = [half_weights(snn.fitted, node, torch.float16, 5) for node in snn.plan.roles]
    (weights,) = [one for one in found if one is not None]
    assert torch.isfinite(weights(torch.full((1, 4096), 5), 1).data).all()
