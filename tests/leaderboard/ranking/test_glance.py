from __future__ import annotations

import re
from collections.abc import Callable

from leaderboard.ranking.boards import rank
from leaderboard.ranking.glance import MOST_ROWS
from leaderboard.records.record import Record

Make = Callable[..., Record]


def cells(shown: str) -> list[list[str]]:
    return [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr>(<td>.*?)</tr>", shown)]


def test_a_board_shows_rank_metric_and_parity(make: Make) -> None:
    records = [
        make({1: 0.5, 8: 0.9}, label="slow"),
        make({1: 0.895}, label="soon"),
        make({1: 0.5}, label="never"),
        make({4: 0.9}, label="ptq", group="baseline"),
    ]
    (board,) = rank(records)
    found = cells(board._repr_html_())
    assert [line[1] for line in found] == [row.label for row in board.rows]
    assert found[0] == ["1", "soon", "binary spikes", "binary", "89.50", "87.4–91.3", "1"]
    never = next(line for line in found if line[1] == "never")
    assert never[4:] == ["50.00", "46.9–53.1", "—"]
    assert found[-1][0] == ""
    assert found[-1][-1] == "n/a"
    assert "ANN Top-1 accuracy 90.00 %" in board._repr_html_()


def test_names_are_text_and_the_table_stays_small(make: Make) -> None:
    bad = "<img src=x onerror=alert(1)>&\x1b[31m"
    (board,) = rank([make(label=f"{bad}{number}", network=bad) for number in range(MOST_ROWS + 3)])
    shown = board._repr_html_()
    assert "<img" not in shown
    assert "\x1b" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;" in shown
    assert "and 3 more" in shown
    assert len(cells(shown)) == MOST_ROWS
