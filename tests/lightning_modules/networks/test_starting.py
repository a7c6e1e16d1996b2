"""A training may begin from another network's weights, with thresholds that suit what arrives."""

import pytest
import torch

from conversion.graph.activations import QCFS
from lightning_modules.networks import CheckpointError, build, start_from


def network(name="small_cnn", **options):
    return build(name, 4, 1, options)


@pytest.fixture
def images():
    return torch.randn(16, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def relu():
    torch.manual_seed(1)
    trained = network()
    with torch.no_grad():
        for value in trained.parameters():  # as if trained: batch norms that scale and shift
            value.add_(0.3 * torch.randn_like(value))
    return trained.eval()


def test_weights_are_taken_over_and_nothing_else_changes(relu, images):
    staircase = network(activation="qcfs", levels=4).train()
    source = {key: value.clone() for key, value in relu.state_dict().items()}
    start_from(staircase, relu, images)
    mine = staircase.state_dict()
    for key, value in source.items():
        torch.testing.assert_close(mine[key], value, rtol=0, atol=0)
        torch.testing.assert_close(relu.state_dict()[key], value, rtol=0, atol=0)
    assert all(module.training for module in staircase.modules())
    assert not any(module._forward_hooks for module in staircase.modules())


def test_thresholds_have_the_least_squared_error(relu, images):
    """Against a plain scan of λ on the values that arrive at the first activation, which nothing precedes."""
    levels = 4
    staircase = network(activation="qcfs", levels=levels)
    start_from(staircase, relu, images)
    name, first = next((n, m) for n, m in staircase.named_modules() if isinstance(m, QCFS))
    arrived = []
    probe = relu.train()
    handle = probe.get_submodule(name).register_forward_hook(lambda m, inputs, out: arrived.append(inputs[0]))
    with torch.no_grad():
        probe(images)
    handle.remove()
    activation = arrived[0].relu().flatten()

    def error(threshold: float) -> float:
        unit = threshold / levels
        return float((activation - unit * (activation / unit).round().clamp(max=levels)).square().mean())

    best = min(error(float(activation.max()) * share / 400) for share in range(20, 401))
    assert error(first.threshold.item()) <= best * 1.02
    assert error(first.threshold.item()) < 0.9 * error(4.0 if first.threshold.item() < 2 else 1.0)


def test_many_levels_need_no_training(relu, images):
    """With fine stairs the network is the ReLU network itself, up to the values above the highest stair."""
    for module in relu.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the average over all batches, of which there is one
    with torch.no_grad():
        relu.train()(images)
    staircase = network(activation="qcfs", levels=1024)
    start_from(staircase, relu, images)
    with torch.no_grad():
        wanted, found = relu.eval()(images), staircase.eval()(images)
    assert float((wanted - found).abs().max()) < 0.2 * float(wanted.std())
    coarse = network(activation="qcfs", levels=1)
    start_from(coarse, relu, images)
    with torch.no_grad():
        assert float((wanted - coarse.eval()(images)).abs().max()) > float((wanted - found).abs().max())


def test_learned_thresholds_are_kept_when_levels_change(images):
    fine, coarse = network(activation="qcfs", levels=8), network(activation="qcfs", levels=2)
    with torch.no_grad():
        for index, module in enumerate(m for m in fine.modules() if isinstance(m, QCFS)):
            module.threshold.fill_(1.0 + index)
    start_from(coarse, fine, images)
    found = [m for m in coarse.modules() if isinstance(m, QCFS)]
    assert [m.threshold.item() for m in found] == [1.0 + i for i in range(len(found))]
    assert {int(m.levels) for m in found} == {2}


def test_another_network_is_refused(images):
    before = {key: value.clone() for key, value in network(activation="qcfs").state_dict().items()}
    staircase = network(activation="qcfs")
    staircase.load_state_dict(before)
    with pytest.raises(CheckpointError, match=r"training starts from is no SmallCNN:\n  missing: "):
        start_from(staircase, network("resnet20"), images)
    torch.testing.assert_close(staircase.state_dict(), before)
