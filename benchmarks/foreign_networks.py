"""Whether a file from elsewhere holds the trained network that its records name.

Nothing of the file is run. Its tensors are compared with the network of that name and those options, built
without memory first, so that no size that the file claims is ever allocated.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.loadable import plain_content
from lightning_modules import networks
from lightning_modules.networks import CheckpointError, NetworkError
from lightning_modules.networks.registry import ChosenNetwork

NO_WEIGHTS = "it is damaged, or holds more than weights; nothing of it was run"
USUAL = 4096  # what any option may be, such as the sides of images
SHOWN = 3  # names of tensors in a message
LOADED = ("weights", "backbone_weights", "new_head")  # options that say where first weights come from
Shapes = dict[str, tuple[int, ...]]


def why_no_network(content: bytes, config: Mapping[str, Any]) -> str | None:
    """What keeps these bytes from being a network, or None.

    Args:
        content: of the file.
        config: what the network's id is the hash of, from a record: {"network": {"name": ..., options}}.
    """
    state = _state(content)
    if isinstance(state, str):
        return state
    folder = ""
    try:
        chosen = _chosen(config)
        if large := _too_large(config["network"], state):
            return large
        sizes = _sizes(chosen, _shapes(state))
        if isinstance(sizes, str):
            return sizes
        network = chosen.build(*sizes)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.pt"
            path.write_bytes(content)
            networks.load_weights(network, path)
    except NetworkError as error:
        return f"{error}; install what has this network, or leave out --networks"
    except CheckpointError as error:
        return " ".join(str(error).replace(str(Path(folder) / "network.pt"), "it").split())
    except Exception as error:  # options that a stranger wrote may make a network raise anything
        return f"the network that records name cannot be built: {type(error).__name__}: {error}"
    return None


def _state(content: bytes) -> dict[str, Tensor] | str:
    """The state dict in a file, its tensors no larger than the file; or what is wrong with it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return NO_WEIGHTS
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        return "its tensors are compressed, which torch.save never does"
    if sum(info.file_size for info in infos) > len(content):
        return "its parts are larger than the file"
    found = plain_content(io.BytesIO(content))
    if found is None:
        return NO_WEIGHTS
    state = found.get("state_dict") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        return "it is no network of a results folder: it holds something else than a state dict"
    for key, value in state.items():
        if not isinstance(value, Tensor) or value.is_meta or value.layout != torch.strided:
            return f"{key} is no dense tensor"
        if value.is_quantized or value.is_nested:
            return f"{key} is quantised or nested, and no weights"
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            return f"{key} is said to have {value.numel()} values, more than the file holds"
    return state


def _chosen(config: Mapping[str, Any]) -> ChosenNetwork:
    """The network of a configuration, without first weights of its own.

    Raises:
        NetworkError: there is none of that name and options.
    """
    spec = config.get("network")
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise NetworkError("its configuration names no network")
    options = {key: value for key, value in spec.items() if key != "name" and key not in LOADED}
    return networks.choose(spec["name"], options)


def _too_large(options: Mapping[str, Any], state: Mapping[str, Tensor]) -> str | None:
    """Why a network of these options has other tensors for certain, found without building it.

    An option of n makes layers of n values, or n layers, as a list of n does. Building those that a stranger
    names could take hours.
    """
    most = max([USUAL, len(state), *(size for value in state.values() for size in value.shape)])
    for key, value in options.items():
        rest, seen = [value], 0
        while rest:
            one, seen = rest.pop(), seen + 1
            rest += [*one.values()] if isinstance(one, dict) else one if isinstance(one, list | tuple) else []
            if seen > most or (isinstance(one, int | float) and not abs(one) <= most):
                return f"its tensors are not those of a network with such an option {key}: they are far fewer"
    return None


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def _built(chosen: ChosenNetwork, classes: int, channels: int) -> Shapes:
    with torch.device("meta"):
        return _shapes(chosen.build(classes, channels).state_dict())


def _sizes(chosen: ChosenNetwork, found: Shapes) -> tuple[int, int] | str:
    """Classes and channels with which the network has exactly these tensors; or what differs.

    Which data set it is for says how many, and may not be on this machine. So both are read off the shapes
    that depend on them, and all shapes have to fit.
    """
    base = _built(chosen, 7, 3)
    if differing := sorted(base.keys() ^ found.keys()):
        names = ", ".join(differing[:SHOWN])
        return f"its tensors are not those of {chosen.name}: {len(differing)} differ, such as {names}"
    try:
        channels = {3, *_read_off(found, base, _built(chosen, 7, 1), 3, -2)}
    except NetworkError:  # takes colour alone
        channels = {3}
    classes = {7, *_read_off(found, base, _built(chosen, 11, 3), 7, 4)}
    for many in sorted(classes):
        for deep in sorted(channels):
            if many >= 2 and deep >= 1 and _built(chosen, many, deep) == found:
                return many, deep
    wrong = [key for key in base if base[key] != found[key]]
    return f"its tensors have other shapes than those of {chosen.name}, such as {', '.join(wrong[:SHOWN])}"


def _read_off(found: Shapes, base: Shapes, other: Shapes, at: int, change: int) -> Iterator[int]:
    """Sizes that some dimension says, linear in them: `at` in `base`, and `at + change` in `other`."""
    seen: set[int] = set()
    for key in base:
        for is_, was, will in zip(found[key], base[key], other[key], strict=False):
            slope, left = (will - was) // change, is_ - was
            if slope and left % slope == 0 and (size := at + left // slope) not in seen and len(seen) < 8:
                seen.add(size)
                yield size
