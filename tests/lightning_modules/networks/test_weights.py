from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from lightning_modules.networks.checkpoints import PREFIXES
from lightning_modules.networks.errors import CheckpointError
from lightning_modules.networks.registry import build
from lightning_modules.networks.weights import load_weights


def resnet(depth: int = 20, classes: int = 10, channels: int = 3):
    return build(f"resnet{depth}", classes, channels, {})


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "weights.pt"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"network._orig_mod.{key}": value for key, value in state.items()}},
        lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    ],
    ids=["bare", "nested", "data parallel", "lightning and compiled", "without batch counters"],
)
def test_usual_forms_load(wrap, file):
    torch.manual_seed(0)
    source, network = resnet(), resnet()
    torch.save(wrap(source.state_dict()), file)
    assert load_weights(network, file) == hashlib.sha256(file.read_bytes()).hexdigest()
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(network.eval()(images), source.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize("saved_in", ["", "network.", "module.network."])
@pytest.mark.parametrize("own", [*(prefix.removesuffix(".") for prefix in PREFIXES), "state"])
def test_prefixes_of_the_network_itself_stay(file, own, saved_in):
    def named() -> torch.nn.ModuleDict:
        return torch.nn.ModuleDict({own: torch.nn.Linear(2, 3)})

    source, network = named(), named()
    torch.save({f"{saved_in}{key}": value for key, value in source.state_dict().items()}, file)
    assert not torch.equal(network[own].weight, source[own].weight)
    load_weights(network, file)
    torch.testing.assert_close(network.state_dict(), source.state_dict(), rtol=0, atol=0)


def refused(network, file) -> str:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, file)
    torch.testing.assert_close(network.state_dict(), before)
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_another_depth_is_recognised(file):
    torch.save(resnet(32).state_dict(), file)
    message = refused(resnet(20), file)
    assert "does not fit ResNetCifar" in message
    assert "unexpected: layer1.3.conv1.weight" in message
    assert "and 68 more" in message
    assert "looks like resnet32" in message


def test_missing_keys_are_listed(file):
    state = resnet().state_dict()
    del state["layer2.1.conv1.weight"]
    torch.save(state, file)
    assert "missing: layer2.1.conv1.weight" in refused(resnet(), file)


@pytest.mark.parametrize(
    ("saved", "hint"),
    [
        ({"classes": 100}, "only the last layer differs; the file knows 100 classes, the network 10"),
        ({"channels": 1}, "only the first layer differs; the file takes 1 channel(s), the network 3"),
        ({"classes": 100, "channels": 1}, "the same layers with other widths"),
    ],
)
def test_shapes_are_named_with_a_hint(saved, hint, file):
    torch.save(resnet(**saved).state_dict(), file)
    message = refused(resnet(), file)
    assert hint in message
    if "classes" in saved:
        assert "linear.weight is [100, 64] in the file, [10, 64] in the network" in message


@pytest.mark.parametrize(
    ("saved", "own", "hint"),
    [
        ({"activation": "qcfs"}, {}, "set the option activation to qcfs"),
        ({"activation": "integer"}, {"activation": "qcfs"}, "set the option activation to integer"),
        ({}, {"activation": "qcfs"}, "set the option activation to relu"),
        ({"activation": "qcfs", "levels": 8}, {"activation": "qcfs"}, "relu.levels is 8 in the file, 4 in"),
    ],
)
def test_weights_trained_with_another_activation_are_refused(saved, own, hint, file):
    torch.save(build("resnet20", 10, 3, saved).state_dict(), file)
    message = refused(build("resnet20", 10, 3, own), file)
    assert hint in message
    if "levels" in saved:
        assert "Hint: set the option levels to what the file says" in message


class Payload:
    """Stands for anything a malicious or careless file may hold."""


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: None, "there is no file"),
        (lambda file: file.mkdir(), "there is no file"),
        (lambda file: file.write_bytes(b""), "is not a file of weights"),
        (lambda file: file.write_text("hello"), "is not a file of weights"),
        (lambda file: file.write_bytes(b"PK\x03\x04 cut"), "is not a file of weights, is damaged"),
        (lambda file: torch.save(Payload(), file), "other Python objects than tensors"),
        (lambda file: torch.save(torch.ones(2), file), "holds a Tensor, not a state dict"),
        (lambda file: torch.save({}, file), "holds a dict, not a state dict with weights"),
        (lambda file: torch.save({"epoch": 3}, file), "'epoch' is not a tensor"),
    ],
    ids=["absent", "folder", "empty", "text", "cut zip", "object", "tensor", "nothing", "no tensors"],
)
def test_unreadable_files(write, message, file):
    write(file)
    assert message in refused(resnet(), file)


def test_a_real_checkpoint_of_resnet20():
    root = os.environ.get("SPIKEMARK_DATA")
    path = Path(root or "") / "checkpoints/resnet20_cifar10.pt"
    if not root or not path.is_file():
        pytest.skip("SPIKEMARK_DATA names no folder with checkpoints/resnet20_cifar10.pt")
    assert len(load_weights(resnet(), path)) == 64
