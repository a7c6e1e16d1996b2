"""What a package can add, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contracts import DATASET_LAWS, NETWORK_LAWS, RECIPE_LAWS
from conversion import recipe_names
from datamodules import registry as datasets
from lightning_modules import networks
from spikemark_plugins import DATASETS, NETWORKS, RECIPES

Options = Mapping[str, Any]


@dataclass(frozen=True)
class PluginKind:
    """Recipes, networks or data sets."""

    group: str  # of entry points
    names: Callable[[], list[str]]
    laws: Sequence[Callable[..., None]]
    arguments: Callable[[str, Options, Path | None], tuple[Any, ...]]  # of a law, by name, options, data root


KINDS = {
    "recipe": PluginKind(
        RECIPES,
        recipe_names,
        RECIPE_LAWS,
        lambda name, options, root: ({"preset": name, **options},),
    ),
    "network": PluginKind(
        NETWORKS, networks.names, NETWORK_LAWS, lambda name, options, root: (name, options)
    ),
    "dataset": PluginKind(
        DATASETS, datasets.names, DATASET_LAWS, lambda name, options, root: (name, options, root)
    ),
}
