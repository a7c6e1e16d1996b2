"""The door for other packages: recipes, networks and data sets found by their entry points.

A package that adds something names a module under one of these groups in its pyproject.toml:

    [project.entry-points."spikemark.recipes"]
    my-method = "my_package.my_method"

Importing that module registers what it adds, as importing our own modules does. A registry opens its
group when it is asked for a name that it does not know, or for all its names; so a plug-in costs nothing
until it may be needed, and one that fails to import gives one warning and leaves everything else working.

This package knows the standard library only, because rooms that must not know each other share it.
"""

from __future__ import annotations

import warnings
from importlib.metadata import EntryPoint, entry_points

RECIPES, NETWORKS, DATASETS = "spikemark.recipes", "spikemark.networks", "spikemark.datasets"
GROUPS = (RECIPES, NETWORKS, DATASETS)

_opened: set[str] = set()


class PluginWarning(UserWarning):
    """A plug-in could not be imported; what it adds is missing, everything else works."""


def load(group: str) -> None:
    """Import every module that installed packages name under a group; once, however often it is asked.

    A module that fails is reported by one `PluginWarning` that names its package and what went wrong.

    Args:
        group: one of `GROUPS`.
    """
    if group in _opened:  # also while it is being opened: a plug-in may ask for names of ours
        return
    _opened.add(group)
    for entry in entry_points(group=group):
        try:
            entry.load()
        except (Exception, SystemExit) as error:
            warnings.warn(
                f"{_package(entry)}: its plug-in '{entry.name}' ({group}) cannot be used, because importing "
                f"{entry.value} failed: {type(error).__name__}: {error}. Mend or uninstall the package; "
                "everything else works.",
                PluginWarning,
                stacklevel=2,
            )


def packages() -> dict[str, str]:
    """Packages that add something to SpikeMark, and their versions; imports none of them."""
    found = [entry.dist for group in GROUPS for entry in entry_points(group=group)]
    return {dist.name: dist.version for dist in found if dist is not None}


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "a package without metadata"
