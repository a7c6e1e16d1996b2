"""Files of converted networks: what they hold, what they refuse, and what they do when they are damaged."""

import json
import os
import pickle
from collections import namedtuple
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import conversion
from conversion import SavedNetworkError, convert, load
from conversion.graph.names import functions, methods, module_classes, name_of_function
from conversion.graph.operations import FUNCTIONS, METHODS, MODULES
from conversion.graph.plain import CannotStore, Reader, Writer
from conversion.graph.roles import Role


@pytest.fixture
def x():
    return torch.rand(3, 3, 6, 6)


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).eval()


@pytest.fixture
def path(tmp_path, x):
    convert(small(), "spikemark", x, time_steps=2).save(tmp_path / "network.pt")
    return tmp_path / "network.pt"


def rewritten(path, change):
    """The file with its description changed, and a digest that fits."""
    from conversion.saving.files import _digest

    content = torch.load(path, weights_only=True)
    described = json.loads(content["network"])
    change(described)
    content["network"] = json.dumps(described)
    content["sha256"] = _digest(content["network"], content["tensors"])
    torch.save(content, path)


def test_a_file_holds_plain_data_and_tensors_only(path):
    content = torch.load(path, weights_only=True)
    assert set(content) == {"format", "version", "network", "tensors", "sha256"}
    assert all(type(tensor) is torch.Tensor for tensor in content["tensors"])
    json.loads(content["network"])


class Odd(nn.Module):
    """Constants, sizes, slices, types and functions of many kinds."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect")
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x):
        assert x.shape[1] == 3
        x = F.pad(self.conv(x), (1, 1, 1, 1), "constant", 0.0)
        x = x.relu()[..., 1:-1, 1:-1].contiguous()
        zeros = torch.zeros(x.shape[0], 1, *x.shape[2:], dtype=x.dtype, device=x.device)
        x = torch.cat([x, zeros], dim=1)[:, :4]
        x = torch.matmul(x.permute(0, 2, 3, 1), self.weight.softmax(0).t() * 2).permute(0, 3, 1, 2)
        x = F.interpolate(self.up(F.relu6(x)), size=(6, 6), mode="nearest").to(torch.float32)
        first, second = x.chunk(2, dim=1)
        x = (first - second).clamp(0, float("inf")) if x.dim() == 4 else x
        return [{"a": (x.mean(dim=(2, 3)), 3)}, x.flatten(1).unflatten(1, (2, -1))]


def test_a_graph_of_many_kinds_of_values_comes_back(x, tmp_path):
    snn = convert(Odd().eval(), "burst", x)
    snn.save(tmp_path / "odd.pt")
    twin = load(tmp_path / "odd.pt")
    assert str(twin.captured.graph) == str(snn.captured.graph)
    for one, two in zip(snn.captured.graph.nodes, twin.captured.graph.nodes, strict=True):
        assert one.stack_trace == two.stack_trace
        assert snn.plan.roles.get(one) == twin.plan.roles.get(two)
    (one, two), (three, four) = snn(x, 3), twin(x, 3)
    assert torch.equal(one["a"][0], three["a"][0])
    assert torch.equal(two, four)
    assert one["a"][1] == three["a"][1] == 3


def test_every_operation_that_converts_has_a_name():
    assert not [function for function in FUNCTIONS if name_of_function(function) is None]
    assert set(METHODS) <= methods()
    assert set(MODULES) <= set(module_classes().values())


def test_no_name_leads_to_the_machine():
    words = {
        "system",
        "open",
        "exec",
        "eval",
        "__import__",
        "popen",
        "load",
        "from_file",
        "call",
        "attrgetter",
    }
    assert not words & {name.rpartition(".")[2] for name in functions()}
    assert not {"apply_", "map_", "map2_", "register_hook", "__reduce__", "backward"} & methods()


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class Mine(nn.ReLU):
    pass


class Tuples(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.conv, self.kind = nn.Conv2d(3, 4, 3), kind

    def forward(self, x):
        x = self.conv(x).relu()
        return self.kind(x, x)


LOCAL = namedtuple("LOCAL", "left right")


@pytest.mark.parametrize("kind", [Pair, LOCAL])
def test_a_class_of_the_networks_own_code_is_refused_by_name(kind, x, tmp_path):
    snn = convert(Tuples(kind).eval(), "opi", x)
    with pytest.raises(
        SavedNetworkError, match=rf"network\.pt' was not written: .* named tuple .*{kind.__name__}"
    ):
        snn.save(tmp_path / "network.pt")
    assert not os.listdir(tmp_path)


def test_hooks_are_refused_by_the_path_of_their_module(x, tmp_path):
    snn = convert(small(), "opi", x)
    snn.plan.captured.get_submodule("0").register_forward_hook(lambda *_: None)
    with pytest.raises(SavedNetworkError, match="hooks of module '0'"):
        snn.save(tmp_path / "network.pt")


def test_a_failed_write_leaves_the_file_before_it_whole(path, x, monkeypatch):
    before = path.read_bytes()

    def cut(content, file):
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(OSError, match="disk full"):
        convert(small(), "opi", x).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["network.pt"]


def test_paths_may_be_text_and_folders_must_be_there(path, x):
    assert load(str(path)).recipe.name == "spikemark"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(path.parent / "nowhere.pt")
    with pytest.raises(FileNotFoundError, match="no_folder"):
        convert(small(), "opi", x).save(path.parent / "no_folder" / "a.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_one_error(share, path):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SavedNetworkError, match=r"network\.pt' cannot be loaded: it is cut off"):
        load(path)


def tried(path):
    """State of the network in a file, or what the error says; no other error may come."""
    try:
        return load(path).state_dict()
    except SavedNetworkError as error:
        return str(error)


def test_changed_bytes_anywhere_are_never_loaded_in_silence(path):
    content, expected = path.read_bytes(), load(path).state_dict()
    for place in range(0, len(content), max(1, len(content) // 60)):
        changed = bytearray(content)
        changed[place] ^= 0x55
        path.write_bytes(bytes(changed))
        found = tried(path)
        if isinstance(found, str):
            assert found.startswith(f"'{path}' cannot be loaded: ")
        else:  # nothing that counts
            assert all(torch.equal(value, found[key]) for key, value in expected.items())


FOREIGN = {
    "a state dict": lambda p, x: torch.save(small().state_dict(), p),
    "a tensor": lambda p, x: torch.save(x, p),
    "a list": lambda p, x: torch.save([1, 2], p),
    "a pickle of a network": lambda p, x: torch.save(convert(small(), "opi", x), p),
    "text": lambda p, x: p.write_text("hello"),
    "nothing": lambda p, x: p.write_bytes(b""),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_something_else_is_one_error(kind, tmp_path, x):
    FOREIGN[kind](tmp_path / "other.pt", x)
    with pytest.raises(SavedNetworkError, match=r"other\.pt' cannot be loaded: it"):
        load(tmp_path / "other.pt")


HEADERS = {
    "version": [
        (2, "newer SpikeMark wrote it"),
        ("1", "its version is '1'"),
        (None, "version"),
        (True, "version"),
    ],
    "format": [("another", "no converted network"), (None, "no converted network")],
    "network": [("{", "SHA-256"), (3, "no description"), (None, "no description")],
    "tensors": [([], "SHA-256"), (["a"], "list of tensors"), ({}, "no list")],
    "sha256": [("", "SHA-256"), (None, "SHA-256")],
}


@pytest.mark.parametrize(
    ("key", "value", "message"), [(key, *case) for key, cases in HEADERS.items() for case in cases]
)
def test_a_wrong_header_is_one_error(key, value, message, path):
    content = torch.load(path, weights_only=True)
    content[key] = value
    torch.save(content, path)
    with pytest.raises(SavedNetworkError, match=f"network.pt' cannot be loaded: .*{message}"):
        load(path)
    del content[key]
    torch.save(content, path)
    with pytest.raises(SavedNetworkError, match=r"network\.pt' cannot be loaded"):
        load(path)


def places(data, way=()):
    """Every entry of nested data, by the way to it."""
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*way, key)
        yield from places(value, (*way, key))


def test_wrong_descriptions_are_one_error_each_or_another_network(path):
    content = path.read_bytes()
    described = json.loads(torch.load(path, weights_only=True)["network"])
    for number, way in enumerate(places(described)):
        if number % 23:
            continue
        for wrong in ("__import__('os')", 10**6, None, {}, []):

            def put(data, way=way, wrong=wrong):
                for key in way[:-1]:
                    data = data[key]
                data[way[-1]] = wrong

            path.write_bytes(content)
            rewritten(path, put)
            found = tried(path)
            assert not isinstance(found, str) or found.startswith(f"'{path}' cannot be loaded: ")


CODE = 'x; __import__("os").abort(); y'


def operations(data):
    return data["graphs"][0]["operations"]


ATTACKS = {
    "name": lambda d: operations(d)[1].update(name=CODE),
    "keyword": lambda d: operations(d)[1].update(name="lambda"),
    "argument": lambda d: operations(d)[1]["kwargs"].update({CODE: 1}),
    "placeholder": lambda d: operations(d)[0].update(target=CODE),
    "module": lambda d: operations(d)[1].update(target='0"); abort("'),
    "method": lambda d: operations(d)[1].update(op="call_method", target="apply_"),
    "function": lambda d: operations(d)[1].update(op="call_function", target="os.system"),
    "private": lambda d: operations(d)[1].update(
        op="call_function", target="builtins.getattr", args={"$tuple": [{"$node": 0}, "__class__"]}
    ),
    "operation": lambda d: operations(d)[1].update(op="exec"),
    "order": lambda d: operations(d)[1].update(args={"$tuple": [{"$node": 3}]}),
    "class": lambda d: d["modules"][0].update({"class": "subprocess.Popen"}),
    "setting": lambda d: d["modules"][0]["settings"].update(forward=1),
    "internal setting": lambda d: d["modules"][0]["settings"].update(_forward_hooks=1),
    "record": lambda d: d["network"]["plan"]["roles"][0].__setitem__(
        1, {"$record": ["subprocess.Popen", {"args": "ls"}]}
    ),
    "record of ours": lambda d: d["network"]["plan"]["roles"][0].__setitem__(
        1, {"$record": ["conversion.saving.files.load", {"path": "x"}]}
    ),
    "value": lambda d: d.update(provenance={"$call": "os.system"}),
    "tag": lambda d: d.update(provenance={"$exec": ["a"]}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_file_runs(attack, path, monkeypatch):
    monkeypatch.setattr(os, "abort", lambda: pytest.fail("ran"))
    rewritten(path, ATTACKS[attack])
    with pytest.raises(SavedNetworkError, match=r"network\.pt' cannot be loaded"):
        load(path)


def test_a_part_of_a_plug_in_that_is_not_here_is_named(path):
    def other(data):
        data["network"]["plan"]["recipe"]["neuron"]["$part"][1]["name"] = "of-a-plugin"

    rewritten(path, other)
    with pytest.raises(SavedNetworkError, match=r"network\.pt' .*unknown neuron 'of-a-plugin'.*[Ii]nstall"):
        load(path)


def test_a_part_of_a_plug_in_goes_by_its_name(x, tmp_path, monkeypatch):
    from dataclasses import dataclass
    from typing import ClassVar

    from conversion import parts
    from conversion.neurons import IntegrateAndFire

    monkeypatch.setitem(parts._REGISTRY, "neuron", dict(parts._REGISTRY["neuron"]))

    @parts.register
    @dataclass(frozen=True)
    class Local(IntegrateAndFire):
        name: ClassVar[str] = "of-a-plugin"
        limit: int = 3

    snn = convert(small(), {"preset": "opi", "neuron": {"name": "of-a-plugin", "limit": 5}}, x)
    snn.save(tmp_path / "network.pt")
    twin = load(tmp_path / "network.pt")
    assert twin.recipe == snn.recipe
    assert twin.recipe.neuron == Local(5)


VALUES = [
    *(
        None,
        True,
        3,
        -2.5,
        float("inf"),
        "a",
        [1, (2,)],
        (1, [2]),
        {"a": {1: 2}},
        {"$a": 1},
        slice(None, 2, -1),
    ),
    *(torch.Size([1, 2]), torch.float16, torch.device("cpu"), torch.channels_last, torch.strided, Ellipsis),
    *(1 + 2j, range(1, 9, 2), frozenset({1, 2}), ((), [], {})),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_were(value):
    plain = json.loads(json.dumps(Writer().value(value)))
    found = Reader([]).value(plain)
    assert found == value
    assert type(found) is type(value)


def test_a_role_comes_back_whatever_fields_it_has():
    role = Role(conversion.graph.operations.Kind.NEURON, "a#2", "torch.relu", 6.0, (0.1, 0.2), 4, True)
    assert Reader([]).value(json.loads(json.dumps(Writer().value(role)))) == role


@pytest.mark.parametrize("value", [object(), lambda: 0, Pair(1, 2), nn.ReLU(), os.system])
def test_other_values_are_refused(value):
    with pytest.raises(CannotStore):
        Writer().value(value)


def test_a_network_is_loaded_where_it_is_wanted(path):
    assert load(path, device="meta").captured.get_parameter("0.weight").is_meta
    assert load(path).captured.get_parameter("0.weight").device.type == "cpu"


def test_a_pickle_keeps_a_class_of_the_networks_own_code(x):
    snn = convert(Tuples(Pair).eval(), "opi", x)
    twin = pickle.loads(pickle.dumps(snn))
    found, expected = twin(x, 3), snn(x, 3)
    assert type(found) is Pair
    assert torch.equal(found.right, expected.right)
