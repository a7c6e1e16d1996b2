"""Networks by name: how one is registered, found and built. Ours are listed in `catalogue`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from lightning_modules.networks.errors import NetworkError
from spikemark_plugins import NETWORKS, load
from spikemark_plugins.names import did_you_mean


@dataclass(frozen=True)
class NetworkEntry:
    """One network of the registry."""

    summary: str  # one line for listings
    options_type: type  # frozen dataclass whose fields all have defaults; raises `NetworkError`
    construct: Callable[[int, int, Any], nn.Module]  # (num_classes, in_channels, options)
    task: str = "classification"


@dataclass(frozen=True)
class ChosenNetwork:
    """A network of the registry with its options, both checked.

    It may be pickled: what is registered is found again by the name.

    Attributes:
        name: name in the registry.
        options: an object of the `options_type` that is registered there.
    """

    name: str
    options: Any

    @property
    def task(self) -> str:
        """Name of the task that the network is for."""
        return _find(self.name).task

    def build(self, num_classes: int, in_channels: int) -> nn.Module:
        """Build the network with freshly initialised (or, by option, loaded) weights.

        Args:
            num_classes: K, at least 2.
            in_channels: C, channels of the images, at least 1.

        Returns:
            A module mapping images [B, C, H, W] to logits [B, K], or to what its task takes.

        Raises:
            NetworkError: the network does not fit these numbers.
            CheckpointError: a file of weights named by an option does not fit.
        """
        for label, value, low in (("num_classes", num_classes, 2), ("in_channels", in_channels, 1)):
            if value < low:
                raise NetworkError(f"{label} must be at least {low}, got {value}")
        return _find(self.name).construct(num_classes, in_channels, self.options)


_ENTRIES: dict[str, NetworkEntry] = {}


def register(name: str, entry: NetworkEntry) -> NetworkEntry:
    """Make a network known under a name.

    Raises:
        ValueError: the name is taken.
    """
    if name in _ENTRIES:
        raise ValueError(f"network '{name}' is registered twice")
    _ENTRIES[name] = entry
    return entry


def names(task: str | None = None) -> list[str]:
    """Return the names of all networks, or of those of one task: ours, smallest first, then plug-ins'."""
    load(NETWORKS)
    return [name for name, entry in _ENTRIES.items() if task in (None, entry.task)]


def task_of(name: str) -> str:
    """Return the task of a network.

    Raises:
        NetworkError: there is no network of that name; the nearest one is named.
    """
    return _find(name).task


def describe(name: str) -> str:
    """Return one line on a network.

    Raises:
        NetworkError: there is no network of that name; the nearest one is named.
    """
    return _find(name).summary


def choose(name: str, options: Mapping[str, Any]) -> ChosenNetwork:
    """Find a network and check its options, without building it.

    Args:
        name: one of `names`.
        options: the network's own options by name; lists stand for tuples.

    Raises:
        NetworkError: unknown name or option (the nearest valid one is named), or a bad value.
    """
    entry = _find(name)
    known = [field.name for field in fields(entry.options_type)]
    for option in options:
        if option not in known:
            raise NetworkError(f"network {name!r} has no option {option!r}{did_you_mean(option, known)}")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return ChosenNetwork(name, entry.options_type(**plain))


def build(name: str, num_classes: int, in_channels: int, options: Mapping[str, Any]) -> nn.Module:
    """Build a network by its name: `choose`, then `ChosenNetwork.build`.

    Raises:
        NetworkError: unknown name or option (the nearest valid one is named), or a bad value.
        CheckpointError: a file of weights named by an option does not fit.
    """
    return choose(name, options).build(num_classes, in_channels)


def _find(name: str) -> NetworkEntry:
    if name not in _ENTRIES:
        load(NETWORKS)
    if name not in _ENTRIES:
        raise NetworkError(f"there is no network {name!r}{did_you_mean(name, _ENTRIES)}")
    return _ENTRIES[name]
