"""What is known of recipes, networks and data sets, as plain data: shown without PyTorch.

Importing what they are made of takes seconds, so the answers for everything of our own lie in catalogue.json.
`python -m benchmarks.commands.describing` renews it, and a test compares it with what the code says.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

CATALOGUE = Path(__file__).with_name("catalogue.json")
KINDS = ("recipes", "networks", "datasets")


@dataclass(frozen=True)
class PartDescription:
    """One part of a recipe."""

    kind: str
    name: str
    summary: str
    parameters: list[list[str]]  # name and value, default where it differs, search range or choices


@dataclass(frozen=True)
class Description:
    """What a recipe is, needs, and is made of."""

    label: str
    name: str
    group: str
    summary: str
    paper: str
    needs: dict[str, str]
    parts: list[PartDescription]

    @classmethod
    def of(cls, content: dict[str, Any]) -> Description:
        """From plain data, as `as_data` gives it."""
        return cls(**{**content, "parts": [PartDescription(**part) for part in content["parts"]]})

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def catalogue(kind: str) -> dict[str, Any] | None:
    """Name -> what is known, for one of `KINDS`; None where an installed package adds some."""
    if tuple(entry_points(group=f"spikemark.{kind}")):
        return None
    found: dict[str, Any] = json.loads(CATALOGUE.read_text(encoding="utf-8"))[kind]
    return found


def known_recipe(name: str) -> Description | None:
    """A preset of our own; None for anything else."""
    found = (catalogue("recipes") or {}).get(name)
    return None if found is None else Description.of(found)


def show(recipe: Description, console: Console) -> None:
    """Print what a recipe is, what it needs, and its parts."""
    console.print(Text(recipe.label, style="bold"))
    for line in (recipe.summary, recipe.paper):
        console.print(Text(line))
    console.print()
    table = _table()
    for name, value in recipe.needs.items():
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    for part in recipe.parts:
        console.print()
        console.print(Text.assemble((f"{part.kind}: ", "bold"), part.name))
        console.print(Text(part.summary), soft_wrap=True)
        if part.parameters:
            table = _table()
            for cells in part.parameters:
                table.add_row(*map(Text, cells))
            console.print(table)


def show_known(name: str, results: Path, console: Console) -> None:
    """Print what was measured of a recipe, whatever its parameters, and what papers report.

    Raises:
        StoreError: the published figures cannot be read.
    """
    from leaderboard import load_published, rank, render, render_published
    from leaderboard.published import beside, select_published
    from leaderboard.ranking.boards import only_recipe
    from leaderboard.reference.shipped import load_shipped
    from leaderboard.store.results import ResultStore

    published = select_published(load_published(), recipe=name)
    own, shipped = ResultStore(results).load(layers=False).records, load_shipped(layers=False)
    measured = {record.cell_id for record in own}
    others = [record for record in shipped.records if record.cell_id not in measured]
    origins = {record.cell_id: shipped.origins[record.cell_id] for record in others}
    boards = only_recipe(rank([*own, *others], origins), name)
    console.print()
    if boards:
        where = f"{results} and the references" if others else str(results)
        console.print(Text(f"Measured, in {where}", style="bold"))
        render(boards, console, published)
    else:
        console.print(Text(f"Not measured yet: no records of it in {results}."))
    shown = {id(each.curve) for board in boards for each in beside(board, published)}
    elsewhere = [curve for curve in published if id(curve) not in shown]
    if elsewhere:
        console.print()
        console.print(Text("Published" + (" elsewhere" if shown else ""), style="bold"))
        render_published(elsewhere, console)


def _table() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
