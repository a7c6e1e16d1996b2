"""What a file of weights holds: state dicts inside of other things, and prefixes in front of their keys.

Training scripts save a state dict alone, or beside an optimiser under a name of their own ("model", "ema").
Wrappers put a prefix before every key. All such places are searched. The names of the parameters say which of
them belongs to a network, never the place; where several fit, the user has to choose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_modules.networks.errors import CheckpointError
from lightning_modules.networks.tensors import COUNTER

# Put in front of every key by data parallelism, torch.compile, and Lightning modules (ours: "network.").
PREFIXES = ("module.", "network.", "_orig_mod.", "model.", "net.")
DEPTH = 3  # mappings inside of mappings that are searched
OPTIMISER = "optim"  # in a name: what lies there are no weights

State = dict[str, Tensor]


def read_state(path: Path, own: Collection[str], entry: str | None = None) -> tuple[str, State]:
    """Find the weights of one network in a file.

    Args:
        path: the file, from ``torch.save``. Nothing but tensors and plain values is unpickled.
        own: keys of the network's state dict.
        entry: which of several sets of weights to take, as the message that asks for it names them.

    Returns:
        Where in the file they stand, empty for the whole file; and the state dict without prefixes. Where no
        set has the network's keys, the one that has most of them.

    Raises:
        CheckpointError: the file is missing, unreadable, holds no weights, or several sets that fit.
    """
    content = _load(path)
    sets = dict(_sets(content))
    if not sets:
        raise CheckpointError(f"{path} {_no_weights(content)}")
    found = {name: state for place in sets for name, state in _readings(place, sets[place], own).items()}
    if entry is not None:
        if entry not in found:
            names = ", ".join(repr(name) for name in found if name) or "one set without a name"
            raise CheckpointError(f"{path} has no weights {entry!r}; it holds {names}")
        return entry, found[entry]
    fitting = [name for name, state in found.items() if _same_names(state, own)]
    if len(fitting) > 1:
        raise CheckpointError(
            f"{path} holds {len(fitting)} sets of weights that fit: {', '.join(map(repr, fitting))}. Choose"
            f" one, for example by load_weights(network, path, entry={fitting[-1]!r}). For a matrix, save the"
            " network that this fills by torch.save(network.state_dict(), ...), and name the new file"
        )
    name = fitting[0] if fitting else max(found, key=lambda name: len(found[name].keys() & own))
    return name, found[name]


def _load(path: Path) -> Any:
    try:
        if not path.is_file():
            raise CheckpointError(f"there is no file of weights {path}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # damaged bytes make the unpickler raise anything, KeyError included
        raise CheckpointError(
            f"{path} is not a file of weights, is damaged, or holds other Python objects than tensors and"
            " plain values; save it again with torch.save(network.state_dict(), path)"
        ) from error


def _sets(content: Any, place: str = "", depth: int = 0) -> list[tuple[str, State]]:
    """Every mapping of tensors in a file, with the names that lead to it."""
    if not isinstance(content, Mapping) or depth > DEPTH or not all(isinstance(key, str) for key in content):
        return []
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return [(place, dict(content))]
    inside = ((key, value) for key, value in content.items() if OPTIMISER not in key.lower())
    return [found for key, value in inside for found in _sets(value, _joined(place, key), depth + 1)]


def _readings(place: str, state: State, own: Collection[str]) -> dict[str, State]:
    """Name -> what a set of weights may be: the whole of it, or what stands below one of its prefixes."""
    whole = _unwrap(state, own)
    if whole.keys() & own:
        return {place: whole}
    parts: dict[str, State] = {}
    for key, value in state.items():
        first, dot, rest = key.partition(".")
        if dot:
            parts.setdefault(first, {})[rest] = value
    stripped = {first: _unwrap(part, own) for first, part in parts.items()}
    fitting = {first: part for first, part in stripped.items() if _same_names(part, own)}
    known = any(f"{first}." in PREFIXES for first in fitting)
    if len(fitting) > 1 or known:
        return {_joined(place, first): part for first, part in fitting.items()}
    return {place: whole}


def _unwrap(state: State, own: Collection[str]) -> State:
    """Strip prefixes that all keys share, unless the network itself has them."""
    stripped = True
    while stripped and not (state.keys() & own):
        stripped = False
        for prefix in PREFIXES:
            if state and all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
                stripped = True
                break
    return state


def _same_names(state: State, own: Collection[str]) -> bool:
    differing = state.keys() ^ set(own)
    return all(key.endswith(COUNTER) for key in differing) and bool(state.keys() & own)


def _joined(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _no_weights(content: Any, place: str = "") -> str:
    if not isinstance(content, Mapping) or not content:
        return f"holds a {type(content).__name__}, not a state dict with weights"
    for key, value in content.items():  # what looks most like weights is what was meant
        if isinstance(value, Mapping) and any(isinstance(one, Tensor) for one in value.values()):
            return _no_weights(value, _joined(place, str(key)))
    where = f" in {place!r}" if place else ""
    odd = next((key for key, value in content.items() if not isinstance(value, Tensor)), None)
    if odd is None:
        odd = next(key for key in content if not isinstance(key, str))
        return f"is not a state dict: the key {odd!r}{where} is not a name"
    return f"is not a state dict: {odd!r}{where} is not a tensor"
