"""Weights from files: read safely, compared with the network, and loaded only if all of it fits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_modules.networks.checkpoints import read_state
from lightning_modules.networks.errors import CheckpointError
from lightning_modules.networks.recognise import looks_like
from lightning_modules.networks.tensors import COUNTER, unusable_tensors

ACTIVATION_KEYS = (".levels", ".threshold")  # what activations made for conversion add to a state dict
SHOWN_KEYS = 4  # of each kind of mismatch in a message


def load_weights(network: nn.Module, path: Path, entry: str | None = None) -> str:
    """Load a file of weights into a network, in place.

    Args:
        network: the network to fill; left untouched on any error.
        path: a state dict saved by ``torch.save``, alone or in a checkpoint under any name, with or without
            the prefixes of Lightning, data parallelism and torch.compile. Nothing but tensors and plain
            values is unpickled.
        entry: which set of weights to take where a file has several that fit; the error names them.

    A network may have a property `other_names`: keys of published weights -> its own.

    Returns:
        The file's sha256 in hex, for provenance.

    Raises:
        CheckpointError: the file is missing, unreadable, or does not fit; names the first keys
            that differ, their shapes, and what the file looks like instead. Or it holds tensors that are no
            weights: sparse, quantised, without content, of another kind of number, not finite.
    """
    path = Path(path)
    own = network.state_dict()
    if any(value.is_meta for value in own.values()):
        raise CheckpointError(
            f"{path} cannot be loaded: {type(network).__name__} is on the device meta and has no memory for"
            " weights; call network.to_empty(device='cpu') first"
        )
    others: Mapping[str, str] = getattr(network, "other_names", {})
    name, state = read_state(path, [*own, *others], entry)
    if others.keys() & state.keys():
        state = {others.get(key, key): value for key, value in state.items()}
    origin = f"{name!r} in {path}" if name else str(path)
    if unusable := unusable_tensors(network, state):
        raise CheckpointError("\n".join([f"{origin} holds tensors that are no weights:", *_lines(unusable)]))
    state = {key: value.to(own[key].dtype) if key in own else value for key, value in state.items()}
    if problems := _mismatches(network, state):
        hint = _hint(network, state)
        raise CheckpointError(
            "\n".join([f"{origin} does not fit {type(network).__name__}:", *problems, *hint])
        )
    _fill(network, state, origin)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_shared(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load all weights but what only the network's own activations have, in place.

    Args:
        network: the network to fill; left untouched on any error.
        state: of a network that may have other activations. Learned thresholds that both have are
            taken over; the number of levels is the network's own.
        origin: what the message calls the other network.

    Raises:
        CheckpointError: the networks differ in more than their activations.
    """
    own = network.state_dict()
    activations = {key for key in own.keys() | state.keys() if key.endswith(ACTIVATION_KEYS)}
    shared = {key: value for key, value in state.items() if key not in activations}
    shared |= {key: own[key] for key in own if key in activations}
    if problems := _mismatches(network, shared):
        hint = _hint(network, shared)
        raise CheckpointError("\n".join([f"{origin} is no {type(network).__name__}:", *problems, *hint]))
    taken = {key: state[key] for key in own if key.endswith(".threshold") and key in state}
    _fill(network, {**shared, **taken}, origin)


def _fill(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy weights that fit into a network; all of them or none."""
    before = {key: value.clone() for key, value in network.state_dict().items()}
    try:
        # Not strict: old files lack the batch counters of batch norm, which inference never reads.
        network.load_state_dict(state, strict=False)
    except Exception as error:  # modules may have loading code of their own
        with torch.no_grad():
            for key, value in network.state_dict().items():  # shares memory with the network
                value.copy_(before[key])
        raise CheckpointError(f"{origin} cannot be loaded into {type(network).__name__}: {error}") from error


def _mismatches(network: nn.Module, state: dict[str, Tensor]) -> list[str]:
    own = network.state_dict()
    missing = [k for k in own if k not in state and not k.endswith(COUNTER)]
    unexpected = [k for k in state if k not in own]
    reshaped = [
        f"{k} is {list(state[k].shape)} in the file, {list(own[k].shape)} in the network"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    mine, theirs = _settings(own), _settings(state)
    different = [
        f"{k} is {theirs[k]} in the file, {mine[k]} in the network"
        for k in mine
        if k in theirs and mine[k] != theirs[k]
    ]
    return _lines(
        {"missing": missing, "unexpected": unexpected, "wrongly shaped": reshaped, "different": different}
    )


def _lines(kinds: Mapping[str, list[str]]) -> list[str]:
    return [f"  {kind}: {_shorten(keys)}" for kind, keys in kinds.items() if keys]


def _settings(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Whole numbers that say which function the weights belong to, such as an activation's levels."""
    return {
        key: int(value)
        for key, value in state.items()
        if value.numel() == 1 and not value.is_floating_point() and not key.endswith(COUNTER)
    }


def _shorten(keys: list[str]) -> str:
    rest = len(keys) - SHOWN_KEYS
    return ", ".join(keys[:SHOWN_KEYS]) + (f" and {rest} more" if rest > 0 else "")


def _hint(network: nn.Module, state: dict[str, Tensor]) -> list[str]:
    own = network.state_dict()
    differing = [key for key in own.keys() ^ state.keys() if not key.endswith(COUNTER)]
    if differing and all(key.endswith(ACTIVATION_KEYS) for key in differing):
        return [f"Hint: only the activations differ; set the option activation to {_activation_of(state)}."]
    if own.keys() - state.keys() or state.keys() - own.keys():
        name = looks_like(state)
        return [f"Hint: the file looks like {name}."] if name else []
    reshaped = [key for key in own if own[key].shape != state[key].shape]
    if not reshaped:
        return ["Hint: set the option levels to what the file says."]
    last = [key for key in own if own[key].ndim == 2][-1:]
    head = {key.rpartition(".")[0] for key in last}
    if head == {key.rpartition(".")[0] for key in reshaped}:
        return [
            f"Hint: only the last layer differs; the file knows {state[last[0]].shape[0]} classes,"
            f" the network {own[last[0]].shape[0]}."
        ]
    first = next((key for key in own if own[key].ndim == 4), None)
    if first is not None and reshaped == [first]:
        return [
            f"Hint: only the first layer differs; the file takes {state[first].shape[1]} channel(s),"
            f" the network {own[first].shape[1]}."
        ]
    return ["Hint: the same layers with other widths; check the network's options."]


def _activation_of(state: Mapping[str, Tensor]) -> str:
    """Option `activation` of the network that a state dict comes from."""
    if any(key.endswith(".threshold") for key in state):
        return "qcfs"
    return "integer" if any(key.endswith(".levels") for key in state) else "relu"
