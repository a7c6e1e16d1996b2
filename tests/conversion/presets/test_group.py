"""A group of m neurons, one by one, against the burst neuron that stands for it."""

import pytest
import torch
from torch import nn

from conversion import convert
from conversion.graph.activations import QCFS


def group_of_neurons(current: torch.Tensor, theta: float, members: int) -> torch.Tensor:
    """What a group sends: member k fires where the membrane reaches k θ / m; each takes θ / m off it."""
    v, sent = theta / (2 * members), []
    for x in current:
        v = v + x
        fired = sum((v >= k * theta / members).to(x.dtype) for k in range(1, members + 1))
        sent.append(fired * theta / members)
        v = v - sent[-1]
    return torch.stack(sent)


@pytest.mark.parametrize("members", [1, 2, 4, 7])
def test_a_group_is_a_burst_neuron(members: int) -> None:
    theta = 1.75  # sums of 1/64 are exact
    network = nn.Sequential(nn.Identity(), QCFS(4, theta)).eval()
    recipe = {"preset": "group", "neuron": {"gamma": members}}
    images = torch.randint(-64, 200, (30, 5)).double() / 64
    snn = convert(network.double(), recipe, images)
    for steps in (1, 2, 5):
        expected = group_of_neurons(images.repeat(steps, 1, 1), theta, members).mean(0)
        torch.testing.assert_close(snn(images, steps), expected)


def test_as_many_members_as_levels_give_the_trained_network_in_one_step() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), QCFS(4, 1.1), nn.Conv2d(8, 8, 3), QCFS(4, 0.7)),
        *(nn.Flatten(), nn.Linear(32, 3)),
    ).eval()
    images = torch.randn(20, 3, 6, 6)
    with torch.no_grad():
        ann = network(images)
    torch.testing.assert_close(convert(network, "group", images)(images, 1), ann, rtol=1e-4, atol=1e-4)
    # four binary steps say the same where the whole window comes before the first spike
    torch.testing.assert_close(
        convert(network, "parallel-qcfs", images)(images, 4), ann, rtol=1e-4, atol=1e-4
    )
    assert not torch.allclose(convert(network, "qcfs", images)(images, 4), ann, rtol=1e-2, atol=1e-2)
