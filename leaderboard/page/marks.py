"""What of a row is marked beside its name, because it changes what its rank is worth."""

from __future__ import annotations

from typing import Any

from leaderboard.page.details import rounded
from leaderboard.ranking.rows import Row
from leaderboard.reference.agreement import Reproductions


def marks_of(row: Row, reproductions: Reproductions, *, says_origin: bool = False) -> dict[str, Any]:
    """Plain data of a row's marks; `says_origin`: on a board whose rows are of several origins."""
    again = [reproductions[r.cell_id].verdict for r in row.records if r.cell_id in reproductions]
    return {
        "untouched": row.records[0].method.ann_untouched,
        "verdict": row.verdict,
        "origin": row.origin,
        "saysOrigin": says_origin,
        "division": row.division,
        "simulatedBy": row.backends,
        "convertSeconds": rounded(row.seconds_to_convert, 3),
        "eachT": row.one_network_for_each_t,
        "reproduced": max(again, key=("reproduced", "within the interval", "not").index, default=None),
    }
