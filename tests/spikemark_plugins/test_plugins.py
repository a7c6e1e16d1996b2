"""Entry points of packages that are not ours: found when needed, harmless when broken."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import EntryPoint, entry_points

import pytest

import spikemark_plugins
from conversion import RecipeError, recipe_from, recipe_names, recipes
from conversion.parts import _REGISTRY, part_names
from datamodules import DataError
from datamodules import registry as datasets
from lightning_modules.networks import registry as networks
from spikemark_plugins import GROUPS, PluginWarning, load, packages

RECIPE = """
from conversion.recipes import Recipe, preset, recipe_from
recipe_from("opi")  # a plug-in may build on what is there
recipe_from({"preset": "custom", "neuron": "burst"})
preset(Recipe("guest", "A guest.", "nowhere"))
"""
NETWORK = """
from dataclasses import dataclass
from torch import nn
from lightning_modules.networks import NetworkEntry, register
@dataclass(frozen=True)
class Options:
    width: int = 1
register("guest_net", NetworkEntry("a guest", Options, lambda k, c, options: nn.Linear(c, k)))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay out packages as pip does, and forget afterwards what they have registered."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(spikemark_plugins, "_opened", set())
    for module, name in ((recipes, "_PRESETS"), (networks, "_ENTRIES"), (datasets, "_CLASSES")):
        monkeypatch.setattr(module, name, dict(getattr(module, name)))
    modules = []

    def add(package: str, group: str, source: str) -> None:
        module = f"guest_{len(modules)}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nadded = {module}\n")

    yield add
    for module in modules:
        sys.modules.pop(module, None)


def test_a_recipe_is_found_by_its_name_alone(install):
    install("guests", "spikemark.recipes", RECIPE)
    assert recipe_from("guest").summary == "A guest."
    assert recipe_names()[-1] == "guest"


def test_nothing_is_imported_for_a_name_of_ours(install):
    install("guests", "spikemark.recipes", RECIPE)
    install("nets", "spikemark.networks", NETWORK)
    recipe_from("opi")
    networks.describe("small_cnn")
    datasets.describe("digits")
    assert not {"guest_0", "guest_1"} & set(sys.modules)
    assert networks.describe("guest_net") == "a guest"
    assert "guest_0" not in sys.modules


def test_a_part_alone_is_found(install):
    before = set(part_names("initial"))
    spikemark_plugins._opened.clear()
    source = (
        "from dataclasses import dataclass\nfrom conversion.initial import Initial\n"
        "from conversion.parts import register\n@register\n@dataclass(frozen=True)\n"
        "class Guest(Initial):\n    name = 'guest-start'\n"
    )
    install("parts", "spikemark.recipes", source)
    try:
        assert recipe_from({"preset": "opi", "initial": "guest-start"}).label == "opi guest-start"
        assert set(part_names("initial")) - before == {"guest-start"}
    finally:
        _REGISTRY["initial"].pop("guest-start", None)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(", "SyntaxError"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        (RECIPE.replace('"guest"', '"opi"'), "recipe 'opi' is registered twice"),
    ],
)
def test_a_broken_plug_in_gives_one_warning_and_breaks_nothing_else(install, source, reason):
    install("broken-guests", "spikemark.recipes", source)
    install("guests", "spikemark.recipes", RECIPE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert recipe_from("guest").name == "guest"
        assert recipe_from("opi").paper.startswith("Bu et al.")
        with pytest.raises(RecipeError, match="unknown recipe 'gest'; did you mean 'guest'"):
            recipe_from("gest")
    (warning,) = [each for each in caught if issubclass(each.category, PluginWarning)]
    for part in ("package broken-guests 1.2", "'added' (spikemark.recipes)", reason, "Mend or uninstall"):
        assert part in str(warning.message)


def test_a_data_set_that_fails_to_import_leaves_the_others(install):
    install("broken-data", "spikemark.datasets", "1 / 0")
    with (
        pytest.warns(PluginWarning, match="ZeroDivisionError"),
        pytest.raises(DataError, match="no data set"),
    ):
        datasets.describe("guest")
    assert datasets.names()[0] == "digits"


def test_records_can_name_the_packages(install):
    install("guests", "spikemark.recipes", RECIPE)
    assert packages()["guests"] == "1.2"
    assert "guest_0" not in sys.modules


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_opens_once(install, monkeypatch, group):
    """Whether there are plug-ins or none, and however often it is asked."""
    asked = []

    def of_the_machine(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return list(entry_points(group=group))

    monkeypatch.setattr(spikemark_plugins, "entry_points", of_the_machine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(group)
        assert asked == [group]
        install("late", group, "raise AssertionError('a group that was opened is opened again')")
        load(group)
    assert asked == [group]


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_imports_what_it_names(install, group):
    install("first", group, "")
    install("second", group, "")
    load(group)
    assert {"guest_0", "guest_1"} <= set(sys.modules)
