"""A network from elsewhere is taken for what records name only if each of its tensors is that network's."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.foreign_networks import NO_WEIGHTS, why_no_network
from lightning_modules import networks

CONFIG = {"dataset": {"name": "digits"}, "network": {"name": "small_cnn"}, "training": {}, "seed": 0}
State = dict[str, Tensor]
SMALL = {"weight": torch.zeros(3, 2)}


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def state_of(name: str = "small_cnn", classes: int = 10, channels: int = 1, **options: Any) -> State:
    return dict(networks.build(name, classes, channels, options).state_dict())


def why(state: Any, config: dict[str, Any] = CONFIG) -> str | None:
    return why_no_network(saved({"state_dict": state}), config)


@pytest.mark.parametrize(
    ("name", "options", "channels"),
    [
        ("small_cnn", {}, 1),
        ("resnet20", {"activation": "qcfs", "levels": 8}, 3),
        ("mobilenet_v3_small", {}, 3),
        ("tiny_yolo", {}, 3),
        ("fcn", {}, 3),
    ],
)
@pytest.mark.parametrize("classes", [2, 21])
def test_what_was_trained_here_is_sound(
    name: str, options: dict[str, Any], channels: int, classes: int
) -> None:
    config = {"network": {"name": name, **options}}
    assert why(state_of(name, classes, channels, **options), config) is None


def test_options_that_load_first_weights_are_left_alone() -> None:
    """Nothing is downloaded, and no file of ours is read."""
    config = {"network": {"name": "resnet18", "weights": "/etc/passwd", "new_head": True}}
    assert why(state_of("resnet18", 10, 3), config) is None


def expanded(state: State) -> State:
    key = next(iter(state))
    return state | {key: torch.zeros(1).expand(10**6, 10**6)}


def with_nan(state: State) -> State:
    key = next(iter(state))
    return state | {key: torch.full_like(state[key], torch.nan)}


def without_one(state: State) -> State:
    return dict(list(state.items())[1:])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (expanded, "is said to have 1000000000000 values, more than the file holds"),
        (with_nan, "NaN or infinite"),
        (without_one, "its tensors are not those of small_cnn: 1 differ, such as "),
        (lambda state: state | {"extra": torch.zeros(1)}, "1 differ, such as extra"),
        (lambda state: state_of("resnet20"), "its tensors are not those of small_cnn"),
        (
            lambda state: state | {next(iter(state)): torch.zeros(3)},
            "its tensors have other shapes than those",
        ),
        (lambda state: {}, "its tensors are not those of small_cnn"),
        (lambda state: [1], "it holds something else than a state dict"),
        (lambda state: state | {"x": 3}, "x is no dense tensor"),
        (lambda state: {k: v.to(torch.int64) for k, v in state.items()}, "integers for weights"),
    ],
)
def test_other_tensors_are_named(change: Callable[[State], Any], reason: str) -> None:
    found = why(change(state_of()))
    assert found is not None
    assert reason in found
    assert "\n" not in found
    assert "/tmp" not in found


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "its configuration names no network"),
        ({"network": {"name": "nobody"}}, "there is no network 'nobody'"),
        ({"network": {"name": "small_cnn", "colour": 3}}, "has no option 'colour'"),
        ({"network": {"name": "small_cnn", "activation": ["relu"]}}, "small_cnn|activation"),
    ],
)
def test_a_network_that_nobody_can_build_is_named(config: dict[str, Any], reason: str) -> None:
    found = why(state_of(), config)
    assert found is not None
    assert any(part in found for part in reason.split("|"))


@pytest.mark.parametrize("value", [10**9, -(10**7), 1e12, [[1] * 9000], {"a": [10**6]}, float("inf")])
def test_what_a_stranger_asks_for_is_not_built(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    """It could take hours, while the file is small."""

    def built(*_: Any) -> Any:
        raise AssertionError("it was built")

    chosen = networks.choose("small_cnn", {})
    monkeypatch.setattr(networks, "choose", lambda *_: chosen)  # a network with every option
    monkeypatch.setattr(type(chosen), "build", built)
    found = why(SMALL, {"network": {"name": "small_cnn", "blocks": value}})
    assert found == "its tensors are not those of a network with such an option blocks: they are far fewer"
    assert "it was built" in str(why(SMALL, {"network": {"name": "small_cnn", "blocks": 4096}}))


class Code:
    """Would leave a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self._trace,)


def test_nothing_of_a_file_is_run_or_unpacked(tmp_path: Path) -> None:
    assert why_no_network(saved({"state_dict": Code(tmp_path / "trace")}), CONFIG) == NO_WEIGHTS
    assert not (tmp_path / "trace").exists()
    stream = io.BytesIO()
    plain = zipfile.ZipFile(io.BytesIO(saved({"state_dict": {"x": torch.zeros(10**6)}})))
    with plain, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for info in plain.infolist():
            packed.writestr(info.filename, plain.read(info), zipfile.ZIP_DEFLATED)
    found = why_no_network(stream.getvalue(), CONFIG)
    assert found == "its tensors are compressed, which torch.save never does"


@given(st.binary(max_size=300), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_damaged_files_are_refused(noise: bytes, place: int) -> None:
    whole = saved({"state_dict": {"x": torch.arange(9.0)}})
    at = place % len(whole)
    for content in (noise, whole[:at], whole[:at] + noise + whole[at + len(noise) :]):
        assert why_no_network(content, CONFIG) is not None
