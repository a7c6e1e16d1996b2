import pytest
from rich.cells import cell_len

from leaderboard.reports.columns import RULE, Column, fitted, header, lines

COLUMNS = [Column("#"), Column("recipe", right=False, least=6), Column("top1 %\n(95 %)")]
ROWS = [["1", "a long name of a recipe", "91.20\n90.1–92.3"], ["10", "ptq", "9.00"]]


def test_cells_stand_below_their_title() -> None:
    widths = fitted(COLUMNS, ROWS, 80)
    assert header(COLUMNS, widths) == [
        "                              top1 %",
        " # recipe                     (95 %)",
        RULE * 36,
    ]
    assert [line for row in ROWS for line in lines(COLUMNS, widths, row)] == [
        " 1 a long name of a recipe     91.20",
        "                           90.1–92.3",
        "10 ptq                          9.00",
    ]


@pytest.mark.parametrize("width", [36, 30, 20, 3])
@pytest.mark.parametrize("gap", [1, 2])
def test_names_are_folded_where_a_table_is_too_wide(width: int, gap: int) -> None:
    widths = fitted(COLUMNS, ROWS, width, gap)
    least = 2 + 6 + 9 + 2 * gap  # narrower it cannot be
    found = [
        *header(COLUMNS, widths, gap),
        *(line for row in ROWS for line in lines(COLUMNS, widths, row, gap)),
    ]
    assert max(map(cell_len, found)) <= max(width, least)
    names = " ".join(line[2 + gap : 2 + gap + widths[1]].strip() for line in found[3:])
    assert names.split() == ["a", "long", "name", "of", "a", "recipe", "ptq"]


def test_a_word_that_does_not_fit_is_cut() -> None:
    assert lines([Column("a", least=4)], [4], ["abcdefghij"]) == ["abcd", "efgh", "  ij"]


def test_wide_letters_take_two_places() -> None:
    columns = [Column("recipe", right=False), Column("T")]
    rows = [["\u7d50\u679c", "1"], ["spicalib", "16"]]
    widths = fitted(columns, rows, 80)
    assert widths == [8, 2]
    assert [cell_len(line) for row in rows for line in lines(columns, widths, row)] == [11, 11]
