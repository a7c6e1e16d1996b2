"""What papers report, beside what was measured here: never ranked, never mixed with measurements.

    papers/<paper>.yaml    the figures, one file a paper
    curves                 reads and validates them
    pairing                which of them belong beside a board
    table                  shows them in a terminal

A figure is kept only if it was read in the source that it names, in an abstract, or quoted by another
document; which of them stands beside it.
"""

from leaderboard.published.curves import PublishedCurve, load_published, select_published
from leaderboard.published.pairing import Comparison, beside
from leaderboard.published.table import render_published

__all__ = ["Comparison", "PublishedCurve", "beside", "load_published", "render_published", "select_published"]
