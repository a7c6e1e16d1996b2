"""Max unpooling: the law of what is sent, every form of writing it, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import UnsupportedOperations, convert
from conversion.graph.capture import capture
from conversion.graph.operations import Kind
from conversion.graph.roles import sort_into_roles


class SegNet(nn.Module):
    """Two levels down and up; the second pool overlaps."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.head = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.down(x))
        size = x.size()
        x, first = self.pool(x)
        x = torch.relu(self.deep(x))
        y, second = F.max_pool2d(x, 3, 2, return_indices=True)
        y = F.max_unpool2d(torch.relu(self.deep(y)), second, 3, 2, output_size=x.size())
        return self.head(self.unpool(torch.relu(self.deep(y)), first, output_size=size))


class OnCurrents(SegNet):
    """As in ENet: what is unpooled has no neurons of its own."""

    def forward(self, x: Tensor) -> Tensor:
        x, places = self.pool(torch.relu(self.down(x)))
        return self.head(torch.relu(self.unpool(self.deep(x), places)))


class Lines(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, places = F.max_pool1d(torch.relu(self.first(x)), 2, return_indices=True)
        return self.second(F.max_unpool1d(x, places, 2))


NETWORKS = {SegNet: (3, 9, 9), OnCurrents: (3, 8, 8), Lines: (3, 8)}


@pytest.mark.parametrize("recipe", ["opi", "spicalib", "ltb", "dcgs", "hmt"])
@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_networks_with_unpooling_converge(kind: type[nn.Module], recipe: str) -> None:
    torch.manual_seed(0)
    network, images = kind().eval(), torch.randn(4, *NETWORKS[kind])
    with torch.no_grad():
        expected = network(images)
    snn = convert(network, {"preset": recipe, "scale": "maximum"} if recipe != "dcgs" else recipe, images)
    errors = [float((r.output - expected).norm() / expected.norm()) for r in snn.simulate(images, (8, 1024))]
    assert errors[1] < 0.05
    assert errors[1] < errors[0]


@pytest.mark.parametrize("recipe", ["opi", "dcgs", "srp"])
def test_chunks_do_not_matter(recipe: str) -> None:
    torch.manual_seed(0)
    network, images = SegNet().eval(), torch.randn(2, 3, 9, 9)
    snn = convert(network, {"preset": recipe, "scale": "percentile"} if recipe == "srp" else recipe, images)
    (one,), (two,) = (list(snn.simulate(images, (13,), chunk=chunk)) for chunk in (1, 13))
    torch.testing.assert_close(one.output, two.output, rtol=1e-4, atol=1e-5)
    assert one.activity.spikes == pytest.approx(two.activity.spikes)


def test_what_was_sent_is_the_unpooling_of_what_arrived() -> None:
    """The read-out of an unpooling at the end, against the unpooling of the mean inputs."""

    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1, stride=2)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            places = torch.relu(self.conv(x))
            values = torch.relu(self.other(x))
            return F.max_unpool2d(values, F.max_pool2d(places, 2, return_indices=True)[1], 2), places, values

    torch.manual_seed(1)
    images = torch.randn(3, 3, 6, 6)
    snn = convert(Ends().eval(), {"preset": "burst", "scale": "maximum"}, images)
    for readout in snn.simulate(images, (1, 2, 3, 7, 20)):
        found, places, values = readout.output
        indices = F.max_pool2d(places, 2, return_indices=True)[1]
        sure = _leads(places) > 1e-4  # rounding may choose among equals
        expected = F.max_unpool2d(values, indices, 2)
        mask = F.interpolate(sure.float(), scale_factor=2) > 0
        torch.testing.assert_close(found[mask], expected[mask], rtol=1e-4, atol=1e-5)
        assert mask.any()


def _leads(places: Tensor) -> Tensor:
    """How far the largest value of each window of 2 x 2 is above the second."""
    windows = F.unfold(places, 2, stride=2).view(len(places), places.shape[1], 4, -1).topk(2, dim=2).values
    return (windows[:, :, 0] - windows[:, :, 1]).view(len(places), places.shape[1], 3, 3)


def test_spikes_are_counted_where_they_arrive() -> None:
    """The fan-out of an unpooled spike is that of its new place; borders are exact."""
    torch.manual_seed(0)
    network, images = OnSpikes().eval(), torch.rand(1, 1, 4, 4)
    snn = convert(network, "maxnorm", images)
    (readout,) = snn.simulate(images, (1,))
    with torch.no_grad():
        sent = F.max_unpool2d(*F.max_pool2d(readout_of_relu(network, images, snn), 2, return_indices=True), 2)
    reached = F.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3), padding=1)  # taps of each place
    assert readout.activity.spikes["max_unpool"] == float(sent.sum())
    assert readout.activity.synops["conv"] == float((sent * reached).sum())


class OnSpikes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x, places = F.max_pool2d(torch.relu(x - 0.2), 2, return_indices=True)
        return self.conv(F.max_unpool2d(x, places, 2))


def readout_of_relu(network: nn.Module, images: Tensor, snn: nn.Module) -> Tensor:
    """Spikes of the only neurons in the first step."""
    return ((images - 0.2).clamp(min=0) >= snn.thresholds["relu"]).float()


def test_the_graph_holds_one_function_of_two_signals() -> None:
    kinds = [role.kind for role in sort_into_roles(capture(SegNet().eval())).values()]
    assert kinds.count(Kind.POOLING) == kinds.count(Kind.UNPOOLING) == 2


def test_indices_for_anything_else_are_refused() -> None:
    class Indices(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x, places = F.max_pool2d(torch.relu(x), 2, return_indices=True)
            return x * places

    with pytest.raises(UnsupportedOperations, match="max_pool2d"):
        convert(Indices(), "opi", torch.randn(2, 3, 4, 4))
