"""Files of converted networks: written whole or not at all, and checked before anything is made of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conversion.converted import Converted
from conversion.errors import RecipeError, SavedNetworkError
from conversion.graph.plain import CannotStore
from conversion.saving.networks import NetworkReader, NetworkWriter
from conversion.tensors import add_tensors

FORMAT = "spikemark converted network"
VERSION = 1  # a number for each way of writing; files of larger ones are refused


def save(network: Converted, path: str | Path, calibration: bool = True) -> None:
    """Write a converted network to a file; see `Converted.save`."""
    path = Path(path)
    writer = NetworkWriter(calibration)
    try:
        described = json.dumps(writer.write(network))
    except CannotStore as error:
        raise SavedNetworkError(f"'{path}' was not written: the network holds {error}") from None
    tensors = [_alone(tensor) for tensor in writer.tensors]
    content = {
        "format": FORMAT,
        "version": VERSION,
        "network": described,
        "tensors": tensors,
        "sha256": _digest(described, tensors),
    }
    _write(content, path)


def load(path: str | Path, device: str | torch.device = "cpu") -> Converted:
    """Read a converted network that `Converted.save` wrote; nothing in the file runs as code.

    The network simulates as the one that was saved: the same spikes and the same read-outs, thresholds,
    recipe, report, budget and provenance. Parts of a recipe that come from plug-ins need those plug-ins.

    Args:
        path: of the file.
        device: where the network is to be.

    Raises:
        SavedNetworkError: the file is none of a converted network, is damaged, comes from a newer version,
            or needs a plug-in that is not installed; names the file and what is wrong.
        OSError: there is no such file, or it cannot be read.
    """
    path, device = Path(path), torch.device(device)
    with path.open("rb"):
        pass  # a missing file is no damaged one
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and zip raise many types
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise _wrong(
            path,
            f"it is cut off, damaged, or a file of something else ({reason}). Whole pickles of torch.save "
            "are read by torch.load(path, weights_only=False)",
        ) from error
    described, tensors = _checked(content, path)
    try:
        network = NetworkReader(json.loads(described), tensors).read()
    except RecipeError as error:
        raise _wrong(
            path, f"its recipe needs a part that is not here: {error}. Install the plug-in that adds it"
        ) from error
    except Exception as error:  # whatever wrong data bring about
        reason = f"no {error} is in it" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise _wrong(path, f"the network in it is damaged, or made by another version: {reason}") from error
    return network.to(device)


def _checked(content: Any, path: Path) -> tuple[str, list[Tensor]]:
    """Description and tensors of a file."""
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        kind = "a state dict or other tensors" if isinstance(content, Mapping) else type(content).__name__
        raise _wrong(path, f"it holds {kind}, no converted network; network.save(path) writes one")
    version = content.get("version")
    if type(version) is not int or version < 1:
        raise _wrong(path, f"its version is {version!r}, no number")
    if version > VERSION:
        raise _wrong(
            path,
            f"a newer SpikeMark wrote it (format {version}, this one reads up to {VERSION}); upgrade "
            "spikemark",
        )
    described, tensors = content.get("network"), content.get("tensors")
    if not isinstance(described, str) or not isinstance(tensors, list):
        raise _wrong(path, "it has no description of a network, or no list of tensors")
    if not all(type(tensor) is Tensor for tensor in tensors):
        raise _wrong(path, "something in its list of tensors is none")
    if content.get("sha256") != _digest(described, tensors):
        raise _wrong(path, "its content is not what was written (its SHA-256 differs)")
    return described, tensors


def _wrong(path: Path, reason: str) -> SavedNetworkError:
    return SavedNetworkError(f"'{path}' cannot be loaded: {reason}")


def _alone(tensor: Tensor) -> Tensor:
    """A tensor on the CPU that takes no more memory than its values."""
    found = tensor.detach().cpu()
    if found.untyped_storage().nbytes() != found.numel() * found.element_size():
        return found.clone()
    return found


def _digest(described: str, tensors: list[Tensor]) -> str:
    found = hashlib.sha256(described.encode())
    add_tensors(found, tensors)
    return found.hexdigest()


def _write(content: Mapping[str, Any], path: Path) -> None:
    """Write beside the place, then move there at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
