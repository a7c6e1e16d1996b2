"""Where weights stand in a file, and which tensors of a file are no weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from conversion.graph.activations import QCFS
from lightning_modules.networks.errors import CheckpointError
from lightning_modules.networks.weights import load_weights


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), QCFS(4), nn.Flatten(), nn.Linear(2, 3))


def other() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pt"


def loaded(file, content, **choice) -> nn.Module:
    torch.save(content, file)
    network = small(seed=1)
    load_weights(network, file, **choice)
    return network


def refused(file, content, **choice) -> str:
    torch.save(content, file)
    network = small(seed=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, file, **choice)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert str(file) in str(caught.value)
    return str(caught.value)


def same(network: nn.Module, state: dict) -> bool:
    return all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def prefixed(state: dict, *prefixes: str) -> dict:
    return {f"{prefix}{key}": value for key, value in state.items() for prefix in prefixes}


WRAPPERS = ["state_dict", "model", "model_state_dict", "ema", "model_ema", "net", "network", "weights", "a b"]


@pytest.mark.parametrize("name", WRAPPERS)
def test_any_name_may_stand_around_a_state_dict(file, name):
    state = small().state_dict()
    adam = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    named_adam = {"state": {"0.weight": {"exp_avg": torch.ones(2)}}}
    content = {"epoch": 3, "best": 0.5, name: state, "optimizer": adam, "optim_g": named_adam, "args": {}}
    assert same(loaded(file, content), state)
    assert same(loaded(file, {"checkpoint": {name: state}}), state)


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "network.", "_orig_mod."])
@pytest.mark.parametrize("around", ["module.", "_orig_mod.", ""])
def test_prefixes_are_stripped(file, prefix, around):
    state = small().state_dict()
    assert same(loaded(file, prefixed(state, around + prefix)), state)
    assert same(loaded(file, {"state_dict": prefixed(state, around + prefix)}), state)


def test_what_stands_beside_a_prefix_of_a_wrapper_is_left_out(file):
    state = small().state_dict()
    averaged = torch.optim.swa_utils.AveragedModel(small()).state_dict()
    assert "n_averaged" in averaged
    assert same(loaded(file, averaged), state)
    lightning = {"state_dict": {**prefixed(state, "network."), "loss.weight": torch.ones(3)}}
    assert same(loaded(file, lightning), state)


def test_the_set_that_fits_is_taken(file):
    state = small().state_dict()
    content = {"model": other().state_dict(), "net": state, "generator": other().state_dict()}
    assert same(loaded(file, content), state)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (lambda a, b: {"model": a, "ema": b}, ("model", "ema")),
        (lambda a, b: {"model": prefixed(a, "module."), "model_ema": b}, ("model", "model_ema")),
        (lambda a, b: {"state_dict": a, "callbacks": {"EMA": {"w": b}}}, ("state_dict", "callbacks.EMA.w")),
        (lambda a, b: {**prefixed(a, "model."), **prefixed(b, "ema.")}, ("model", "ema")),
        (lambda a, b: {**prefixed(a, "student."), **prefixed(b, "teacher.module.")}, ("student", "teacher")),
        (
            lambda a, b: {"state_dict": {**prefixed(a, "net."), **prefixed(b, "old.")}},
            ("state_dict.net", "state_dict.old"),
        ),
    ],
)
def test_two_sets_that_fit_are_both_named_and_either_can_be_chosen(file, content, names):
    states = [small(seed).state_dict() for seed in (2, 3)]
    message = refused(file, content(*states))
    assert f"2 sets of weights that fit: {names[0]!r}, {names[1]!r}" in message
    assert f"load_weights(network, path, entry={names[1]!r})" in message
    for name, state in zip(names, states, strict=True):
        assert same(loaded(file, content(*states), entry=name), state)
    assert f"has no weights 'emma'; it holds {names[0]!r}" in refused(file, content(*states), entry="emma")


def test_one_set_needs_no_choice_and_a_wrong_one_is_named(file):
    state = small().state_dict()
    assert same(loaded(file, {"model": state}, entry="model"), state)
    assert "has no weights 'ema'; it holds 'model'" in refused(file, {"model": state}, entry="ema")
    assert "has no weights 'ema'; it holds one set without a name" in refused(file, state, entry="ema")


def test_a_place_that_does_not_fit_is_named(file):
    assert f"'model' in {file} does not fit Sequential" in refused(file, {"model": other().state_dict()})


def test_one_unknown_prefix_among_others_is_not_guessed(file):
    state = {**prefixed(small().state_dict(), "encoder."), "decoder.weight": torch.ones(2)}
    assert "unexpected: encoder.0.weight" in refused(file, state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"0.weight": torch.ones(2), "epoch": 3}}, "'epoch' in 'model' is not a tensor"),
        ({0: torch.ones(2)}, "the key 0 is not a name"),
        ({"model": {}}, "'model' is not a tensor"),
        ([torch.ones(2)], "holds a list"),
    ],
)
def test_what_holds_no_state_dict(file, content, message):
    assert message in refused(file, content)


def quantised(value):
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.to_sparse(), "not dense, save value.to_dense(): {key} is sparse_coo"),
        (lambda w: w.to_sparse_csr(), "not dense, save value.to_dense(): {key} is sparse_csr"),
        (lambda w: (w * 100).to(torch.int8), "their scale is not in the file: {key} is int8, float32 in the"),
        (lambda w: (w * 100).long(), "their scale is not in the file: {key} is int64"),
        (lambda w: w > 0, "their scale is not in the file: {key} is bool"),
        (quantised, "quantised, save value.dequantize(): {key} is qint8"),
        (lambda w: w.to(torch.complex64), "complex numbers for floating-point ones: {key} is complex64"),
        (lambda w: w.to("meta"), "device meta): {key} is empty"),
        (lambda w: w.index_fill(0, torch.tensor([0]), torch.nan), "NaN or infinite: {key} in 2 of 6 values"),
        (lambda w: w.index_fill(0, torch.tensor([1]), torch.inf), "NaN or infinite: {key} in 2 of 6 values"),
        (lambda w: w.double() * 1e300, "NaN or infinite: {key} in 6 of 6 values"),  # in float32
        (lambda w: w.T, "{key} is [2, 3] in the file, [3, 2] in the network"),
        (lambda w: w[..., None], "{key} is [3, 2, 1] in the file, [3, 2] in the network"),
    ],
)
def test_tensors_that_are_no_weights_leave_the_network_untouched(file, change, message):
    """The last layer is the wrong one, so that earlier ones could have been copied already."""
    state = small().state_dict()
    state["4.weight"] = change(state["4.weight"])
    assert message.format(key="4.weight") in refused(file, state)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("key", ["1.running_var", "1.num_batches_tracked", "2.levels", "2.threshold"])
@pytest.mark.parametrize("change", [lambda v: v.to_sparse(), lambda v: v.to("meta"), lambda v: v * 1j])
def test_buffers_and_single_numbers_are_looked_at_as_well(file, key, change):
    state = small().state_dict()
    state[key] = change(state[key])
    assert f"{key} " in refused(file, state)


def test_a_stray_tensor_of_an_odd_kind_is_refused_like_any_other(file):
    state = small().state_dict() | {"5.weight": quantised(torch.ones(1))}
    assert "5.weight is qint8" in refused(file, state)


def test_whole_numbers_pass_where_the_network_has_whole_numbers(file):
    state = small().state_dict()
    assert state["2.levels"].dtype == torch.int64
    state["1.num_batches_tracked"] = torch.tensor(7)
    assert same(loaded(file, state), state)
    narrow = {k: v.int() if k in ("2.levels", "1.num_batches_tracked") else v for k, v in state.items()}
    assert same(loaded(file, narrow), state)
    averaged = state | {"1.num_batches_tracked": torch.tensor(2.5), "2.levels": torch.tensor(4.0)}
    assert int(loaded(file, averaged)[2].levels) == 4
    assert "2.levels is float32, int64" in refused(file, state | {"2.levels": torch.tensor(4.5)})
    assert "2.levels is 8 in the file, 4 in" in refused(file, state | {"2.levels": torch.tensor(8.0)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load(file, dtype):
    state = small().state_dict()
    cast = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    network = loaded(file, cast)
    torch.testing.assert_close(network[4].weight, state["4.weight"], rtol=1e-2, atol=1e-2)


def test_a_mask_of_the_networks_own_may_be_infinite(file):
    def masked() -> nn.Module:
        network = nn.Linear(2, 2)
        network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        return network

    source, network = masked(), masked()
    torch.save(source.state_dict(), file)
    load_weights(network, file)
    assert torch.equal(network.weight, source.weight)
    assert network.mask.tolist() == [0.0, -float("inf")]


class Stubborn(nn.Linear):
    """Has loading code of its own, which fails after its parameters are filled."""

    def _load_from_state_dict(self, *arguments):
        super()._load_from_state_dict(*arguments)
        raise RuntimeError("no")


def test_loading_code_that_fails_is_undone(file):
    source, network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))
    network.append(Stubborn(2, 2))
    torch.save(source.state_dict(), file)
    before = network[0].weight.clone()
    with pytest.raises(CheckpointError, match=r"weights\.pt cannot be loaded into Sequential: no"):
        load_weights(network, file)
    assert torch.equal(network[0].weight, before)


def test_a_network_without_memory_is_refused(file):
    torch.save(small().state_dict(), file)
    with torch.device("meta"):
        network = small()
    with pytest.raises(CheckpointError, match="to_empty"):
        load_weights(network, file)


def test_a_name_that_is_too_long_for_a_file_is_no_traceback(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be read: .*too long|no file of weights"):
        load_weights(small(), tmp_path / ("a" * 300))


@pytest.mark.parametrize("name", ["resnet18", "fcn_resnet50", "retinanet_resnet50_fpn"])
def test_neither_is_one_in_an_option(name):
    from lightning_modules.networks import NetworkError, build

    with pytest.raises(NetworkError, match="neither a file nor"):
        build(name, 21, 3, {"weights": "a" * 300})
