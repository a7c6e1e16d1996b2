"""Published figures: a file a paper, a curve for each network that a method was applied to.

What stands at the top of a file holds for each of its results. Metrics are percentages, as papers
print them; data sets and networks have the names that matrices use, where SpikeMark knows them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from leaderboard.files.atomic import StoreError
from leaderboard.files.yaml_files import YamlError, read_file
from leaderboard.records.record import Frozen, Group

PAPERS = Path(__file__).parent / "papers"


class PublishedCurve(Frozen):
    """A metric that a paper reports for one network, at one or more T."""

    paper: str  # of the method
    recipe: str = Field(pattern=r"^[a-z0-9-]+$")  # the name it has, or would have, here
    variant: str = ""  # parameters, where they are not the paper's only ones
    group: Group
    task: Literal["classification", "detection", "segmentation"]
    dataset: str
    network: str | None = None  # None: the source does not say
    metric: str
    ann: float | None = Field(None, gt=0, le=100)  # per cent; None: the source does not say
    steps_before: int = Field(0, ge=0)  # steps that the network runs before those that the paper's T counts
    at: dict[int | None, float] = Field(min_length=1)  # T as the paper counts -> per cent; None: T not stated
    source: str  # where the figures were read
    # Read in the source; read in the abstract of the paper alone; or the source quotes somebody else's.
    evidence: Literal["read", "abstract", "quoted"]
    note: str = ""

    @property
    def label(self) -> str:
        """Recipe and variant."""
        return f"{self.recipe} {self.variant}".rstrip()

    def total(self, t: int | None) -> int | None:
        """Every step that the network runs for a read-out at the paper's T."""
        return None if t is None else self.steps_before + t

    def gap(self, t: int | None) -> float | None:
        """Percentage points from the paper's own ANN, if that is known."""
        return None if self.ann is None else self.at[t] - self.ann


@cache
def load_published(folder: Path = PAPERS) -> tuple[PublishedCurve, ...]:
    """Every published curve, paper by paper.

    Raises:
        StoreError: a file is no YAML or a field is wrong; names the file and the field.
    """
    curves: list[PublishedCurve] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            common: dict[str, Any] = read_file(path).content
            entries = common.pop("results")
            curves += [PublishedCurve.model_validate(common | entry) for entry in entries]
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise StoreError(f"{path}: field {where}: {first['msg']}") from error
        except (YamlError, AttributeError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: not a file of published results: {error}") from error
    return tuple(curves)


def select_published(
    curves: Iterable[PublishedCurve],
    task: str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    groups: Collection[Group] = (),
) -> list[PublishedCurve]:
    """The curves of a task, data set, recipe and some groups; None, or no group, takes all of them."""
    return [
        curve
        for curve in curves
        if (task is None or same_name(task, curve.task))
        and (dataset is None or same_name(dataset, curve.dataset))
        and (recipe is None or same_name(recipe, curve.recipe))
        and (not groups or curve.group in groups)
    ]


def same_name(one: str | None, other: str | None) -> bool:
    """Whether two names differ by no more than case and punctuation, as "CIFAR-10" and "cifar10" do."""
    return one is not None and other is not None and _bare(one) == _bare(other)


def _bare(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower())
