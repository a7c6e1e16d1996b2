"""The leaderboard as a pandas DataFrame.

    from leaderboard import load

    frame = load("results")
    frame[frame.group == "binary"].sort_values("t_to_1_point")[["recipe", "value", "low", "high"]]

pandas is imported only here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leaderboard.ranking.boards import Board, at_limit, rank
from leaderboard.reports.entries import entries
from leaderboard.store.results import ResultStore

if TYPE_CHECKING:
    import pandas as pd

_WHOLE = ("rank", "max_per_step", "seeds", "images")


def load(*results: str | Path, limit: float | None = None) -> pd.DataFrame:
    """Rank the records of one or more results folders.

    Args:
        results: folders as `spikemark run` fills them; records of one cell count once, the newest.
        limit: most time steps that a network may run; None: no limit.

    Returns:
        One line a row of the ranking, with the columns of `leaderboard.reports.entries`; empty without
        records.
    """
    records = [record for folder in results for record in ResultStore(folder).load().records]
    return frame(at_limit(rank(records), limit))


def frame(boards: Sequence[Board]) -> pd.DataFrame:
    """Boards as one DataFrame; see `load`."""
    import pandas as pd

    table = pd.DataFrame(entries(boards))
    return table.astype({name: "Int64" for name in _WHOLE if name in table})
