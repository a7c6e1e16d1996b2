"""Networks with functions beyond ReLU: the limit is the ANN, whatever is cut, kept or counted."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import RecipeError, convert, load
from conversion.errors import MemoryBudgetError
from conversion.graph.operations import Kind
from conversion.simulation.choice import use

RECIPES: dict[str, Any] = {
    "tracking": "tracking",
    "single spikes": {"preset": "tracking", "neuron": {"gamma": 1}},
    "ecmt": "ecmt",
    **{name: name for name in ("dcgs", "hmt", "snm")},
}


class Sandwich(nn.Module):
    """Weights, an operation, weights."""

    def __init__(self, operation: Any, channels: int = 8) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(channels, 5, 1)
        self.operation = operation

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.operation(self.first(x))).mean((2, 3))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return x * torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3), keepdim=True)))))


class Attention(nn.Module):
    """One block of a transformer on the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        normal = self.norm(tokens)
        tokens = tokens + self.attention(normal, normal, normal, need_weights=False)[0]
        return (tokens + self.mlp(tokens)).transpose(1, 2).unflatten(2, x.shape[2:])


OPERATIONS: dict[str, tuple[Any, int]] = {
    **{
        kind.__name__: (kind(), 8)
        for kind in (nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU)
    },
    **{
        kind.__name__: (kind(), 8)
        for kind in (nn.SELU, nn.Softplus, nn.Mish, nn.LogSigmoid, nn.ReLU, nn.ReLU6)
    },
    "PReLU": (nn.PReLU(8, 0.3), 8),
    "clamp": (lambda x: x.clamp(-0.5, 0.3), 8),
    "clamp above": (lambda x: x.clamp(max=0.2), 8),
    "steep": (nn.LeakyReLU(1.5), 8),
    "gate": (Gate(), 8),
    "glu": (lambda x: F.glu(x, 1), 4),
    "gated": (lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid(), 4),
    "square": (lambda x: x**2, 8),
    "quotient": (lambda x: x / (1 + x.abs()), 8),
    "group norm": (nn.GroupNorm(2, 8), 8),
    "instance norm": (nn.InstanceNorm2d(8, affine=True), 8),
    "local response norm": (nn.LocalResponseNorm(3), 8),
    "softmax": (lambda x: x.softmax(1), 8),
    "L2 norm": (F.normalize, 8),
    "global response norm": (lambda x: x * x.norm(dim=(2, 3), keepdim=True), 8),
    "largest of two": (lambda x: torch.max(x, 0.5 * x.flip(1)), 8),
    "attention": (Attention(), 8),
    "norm, then pool": (nn.Sequential(nn.GroupNorm(2, 8), nn.MaxPool2d(2)), 8),
}


def network_with(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = Sandwich(*copy.deepcopy(OPERATIONS[name]))
    for module in network.modules():  # drawn when this file was imported, by whatever seed there was
        draw = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        if draw is not None:
            draw()
    return network.eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_limit_is_the_ann(name: str, recipe: Any, images: Tensor) -> None:
    network = network_with(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    snn = convert(network, recipe, images)
    ann = network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (4, 32, 256))}
    assert distance[256] < 0.02
    assert distance[256] < distance[4] / 4 or distance[4] < 1e-3
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["SiLU", "gate", "attention", "norm, then pool"])
def test_chunks_batches_and_backends_do_not_matter(name: str, images: Tensor) -> None:
    snn = convert(network_with(name).double(), "tracking", images.double())
    (whole,) = snn.simulate(images.double(), 20)
    (short,) = snn.simulate(images.double(), 20, chunk=3)
    torch.testing.assert_close(short.output, whole.output)
    assert short.activity == whole.activity
    halves = [next(iter(snn.simulate(half, 20))) for half in images.double().split(3)]
    torch.testing.assert_close(torch.cat([half.output for half in halves]), whole.output)
    assert sum(sum(half.activity.spikes.values()) for half in halves) == sum(whole.activity.spikes.values())
    snn.memory_mib = 2.0
    (cut,) = snn.simulate(images.double(), 20)
    torch.testing.assert_close(cut.output, whole.output)


@pytest.mark.parametrize("name", ["SiLU", "gate", "attention"])
def test_kernels_change_nothing(name: str, images: Tensor) -> None:
    snn = convert(network_with(name), "tracking", images)
    (found,) = snn.simulate(images, 16)
    with use("pytorch"):
        (plain,) = snn.simulate(images, 16)
    assert plain.ran.backend == "pytorch"
    torch.testing.assert_close(found.output, plain.output, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["SiLU", "PReLU", "clamp", "gate", "attention"])
def test_a_saved_network_simulates_the_same(name: str, images: Tensor, tmp_path) -> None:
    snn = convert(network_with(name), "tracking", images)
    snn.save(tmp_path / "network.pt")
    (ours,), (theirs,) = (n.simulate(images, 7) for n in (snn, load(tmp_path / "network.pt")))
    assert torch.equal(ours.output, theirs.output)
    assert ours.activity == theirs.activity


@pytest.mark.parametrize(
    ("name", "verdict", "reductions"),
    [
        ("SiLU", "spiking", []),
        ("gate", "spiking", []),
        ("group norm", "with analog reductions", ["operation"]),
        (
            "attention",
            "with analog reductions",
            ["operation.norm", "operation.attention.softmax", "operation.mlp.0"],
        ),
    ],
)
def test_the_audit_names_what_does_not_spike(
    name: str, verdict: str, reductions: list[str], images: Tensor
) -> None:
    found = convert(network_with(name), "tracking", images).audit
    assert found.verdict == verdict
    assert list(found.reductions) == reductions
    assert found.share is not None
    assert 0 < found.share < 1  # the first layer sees the image


def test_evaluations_are_counted(images: Tensor) -> None:
    found = convert(network_with("gate"), "tracking", images).audit
    assert found.evaluations == {
        "operation.relu": 8 * 36,
        "operation.silu": 4,
        "operation.sigmoid": 8,
        "operation.mul": 8 * 36,
    }


def test_spikes_at_a_product_meet_the_values_of_the_other_factor(images: Tensor) -> None:
    snn = convert(network_with("gate"), "tracking", images)
    (readout,) = snn.simulate(images, 9)
    spikes, synops = readout.activity.spikes, readout.activity.synops
    assert synops["operation.mul"] == spikes["operation.relu"]  # each meets one gate
    assert synops["operation.mul (second factor)"] == 36 * spikes["operation.sigmoid"]
    layers = {layer.name: layer for layer in snn.connectivity(images).layers}
    assert layers["operation.mul"].macs == 8 * 36


def test_products_of_matrices_count_rows_and_columns(images: Tensor) -> None:
    snn = convert(network_with("attention"), "tracking", images)
    (readout,) = snn.simulate(images, 3)
    spikes, synops = readout.activity.spikes, readout.activity.synops
    scores = "operation.attention.matmul"
    queries, keys = "operation.attention.relay", "operation.attention.relay#3"
    assert synops[scores] == 36 * spikes[queries]  # every key of its head
    assert synops[f"{scores} (second factor)"] == 36 * spikes[keys]


def test_relays_stand_before_weights_and_products(images: Tensor) -> None:
    snn = convert(network_with("attention"), "tracking", images)
    relays = [role.name for role in snn.plan.roles.values() if role.operation.endswith("relay.relay")]
    readers = {
        user.name for node, role in snn.plan.roles.items() if role.name in relays for user in node.users
    }
    assert readers
    for node, role in snn.plan.roles.items():
        if role.kind is Kind.WEIGHTED and role.name.startswith("operation"):
            (source,) = node.all_input_nodes
            assert snn.plan.roles[source].kind in (Kind.NEURON, Kind.ROUTING)


@pytest.mark.parametrize("recipe", ["opi", "burst", "spicalib", "msat", "suhd", "tdif", "spikemark-binary"])
def test_neurons_without_negative_spikes_refuse_negative_functions(recipe: str, images: Tensor) -> None:
    message = r"layer 'operation' \(torch.nn.SiLU\); use recipe dcgs, ecmt, .*hmt, .*snm, .* or tracking"
    with pytest.raises(RecipeError, match=message):
        convert(network_with("SiLU"), recipe, images)


@pytest.mark.parametrize("recipe", ["opi", "burst", "spicalib"])
def test_neurons_without_negative_spikes_refuse_relays_of_negative_values(
    recipe: str, images: Tensor
) -> None:
    message = "negative values that flow into the layer after 'last.relay'; use recipe dcgs, ecmt"
    with pytest.raises(RecipeError, match=message):
        convert(network_with("group norm"), recipe, images)


def test_neurons_that_rectify_send_functions_that_are_never_negative(images: Tensor) -> None:
    network = network_with("Hardsigmoid")
    snn = convert(network, "opi", images)
    (readout,) = snn.simulate(images, 512)
    assert float((readout.output - network(images)).norm() / network(images).norm()) < 0.05


FITTED: dict[str, Any] = {
    "spikemark": "spikemark",
    "spikemark-signed": "spikemark-signed",
    "bias": {"preset": "tracking", "correction": "layerwise"},
    "potential": {
        "preset": "tracking",
        "correction": {"name": "layerwise", "bias": False, "potential": True, "per_channel": True},
    },
    "weights": {"preset": "tracking", "correction": {"name": "layerwise", "weights": True, "iterations": 3}},
}


@pytest.mark.parametrize(
    "name", ["SiLU", "ReLU", "PReLU", "gate", "attention", "group norm", "norm, then pool"]
)
@pytest.mark.parametrize("recipe", FITTED.values(), ids=FITTED)
def test_corrections_see_increments_of_functions(name: str, recipe: Any, images: Tensor) -> None:
    network = network_with(name)
    ann = network(images)
    snn = convert(network, recipe, images, time_steps=(2, 64))
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (2, 64))}
    assert distance[64] < 0.03
    spec = recipe if isinstance(recipe, dict) else {"preset": recipe}
    (plain,) = convert(network, {**spec, "correction": "none"}, images, time_steps=2).simulate(images, 2)
    assert distance[2] < 1.2 * float((plain.output - ann).norm() / ann.norm())


@pytest.mark.parametrize("name", ["SiLU", "gate", "attention", "PReLU"])
def test_the_quantised_network_is_close_at_eight_bits(name: str, images: Tensor) -> None:
    network = network_with(name)
    (readout,) = convert(network, "ptq", images).simulate(images, 255)
    assert float((readout.output - network(images)).norm() / network(images).norm()) < 0.05


@pytest.mark.parametrize("name", ["SiLU", "attention"])
def test_a_budget_changes_nothing(name: str, images: Tensor) -> None:
    images = images.double()  # in single precision, sums of other batches may round a spike away
    snn = convert(network_with(name).double(), "tracking", images)
    with use("pytorch"):
        (whole,) = snn.simulate(images, 12)
        snn.memory_mib = 0.1
        while True:
            try:
                (cut,) = snn.simulate(images, 12)
                break
            except MemoryBudgetError:
                snn.memory_mib *= 1.3
    torch.testing.assert_close(cut.output, whole.output)
    assert cut.activity.spikes == whole.activity.spikes
