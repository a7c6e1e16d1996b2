"""Kinds of cells, by what says how long one takes: noted with a run, for those who watch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

from leaderboard.records.fields import Text

CLOSE = 3  # entries of a key that says data set, network, and the recipe or how it is fitted


@dataclass(frozen=True)
class Kind:
    """What of a cell says how long it takes."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    dataset: Text
    network: Text
    recipe: Text
    fitted_for_t: bool
    forwards: Annotated[int, Field(ge=1, lt=2**53)]  # of the ANN, that an image of its test costs

    @property
    def keys(self) -> list[tuple[str | bool, ...]]:
        """What to look a cell up by, the closest first; the last one is everything.

        A fit for each T costs many times a fit for all, so cells of the two kinds say little of each other.
        """
        return [
            (self.dataset, self.network, self.recipe),
            (self.dataset, self.network, self.fitted_for_t),
            (self.dataset, self.network),
            (self.network,),
            (),
        ]
