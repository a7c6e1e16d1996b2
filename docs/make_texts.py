"""Renew what README and docs say of the reference records, and the pictures drawn from them.

    python docs/make_texts.py            # texts and docs/images/energy-models.png
    python docs/make_texts.py --page     # docs/images/leaderboard.png too; needs a Chromium

A text stands between the lines `<!-- references: NAME -->` and `<!-- end of references -->`, what is said of
energy between those of `leaderboard.reports.page_parts`. A test compares the texts with the records, and the
pictures' notes with the records that they were drawn from.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import energy
from leaderboard.costs import verdicts
from leaderboard.costs.order import MATCHED, models_of
from leaderboard.ranking import wording
from leaderboard.ranking.boards import GROUPS, Board, rank
from leaderboard.ranking.rows import Row
from leaderboard.ranking.winners import leading, winners
from leaderboard.ranking.wording import in_markdown
from leaderboard.records.record import Record
from leaderboard.reference.shipped import load_shipped
from leaderboard.reports.claims import fewer_steps, less_energy
from leaderboard.reports.over_time import over_time
from leaderboard.reports.page_parts import fill

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
NOTE = "records"  # of a picture: the digest of what it was drawn from
_ENERGY = "<!-- energy: "
_BLOCK = re.compile(r"(<!-- references: (\w+) -->\n)(.*?)(<!-- end of references -->)", re.DOTALL)


def renewed(text: str, boards: Iterable[Board]) -> str:
    """A page with every block written anew.

    Raises:
        KeyError: a block has a name that nothing here writes.
        PartError: the same of a block on energy, or no board answers it.
    """
    ranked = list(boards)
    if _ENERGY in text:
        text = fill(text, ranked)
    return _BLOCK.sub(lambda found: f"{found[1]}{TEXTS[found[2]](ranked)}\n{found[4]}", text)


def pages() -> list[Path]:
    """Pages that have such blocks."""
    texts = {path: path.read_text("utf-8") for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]}
    return [path for path, text in texts.items() if _BLOCK.search(text) or _ENERGY in text]


def digest(records: Iterable[Record]) -> str:
    """What identifies a set of records in the note of a picture."""
    cells = sorted(f"{r.cell_id} {r.provenance.created}" for r in records)
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()[:16]


def findings(boards: list[Board]) -> str:
    """One list a board: who leads each group, and what the leaders cost."""
    return "\n\n".join(_findings(board) for board in boards)


def first_board(boards: list[Board]) -> str:
    """The board with the most rows, as a table: the leaders of each group, and the quantised ANN."""
    board = max(boards, key=lambda each: len(each.rows))
    metric = wording.metric_name(board.metric)
    head = f"| # | recipe | {metric}, % | T to parity | energy, × ANN | the same, 8-bit weights | spikes |"
    lines = [f"**{in_markdown(board.title)}**: {in_markdown(wording.heading(board, in_full=True))}", "", head]
    lines.append("| ---: | :--- | ---: | ---: | ---: | ---: | :--- |")
    for group in GROUPS:
        rows = [row for row in board.rows if row.group == group][:5]
        if rows:
            lines.append(f"| | **{wording.GROUP_TITLES[group]}** | | | | | |")
        lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def other_boards(boards: list[Board]) -> str:
    """Every board but that of `first_board` in one line, with the leaders of its groups; else nothing."""
    first = max(boards, key=lambda each: len(each.rows), default=None)
    others = [board for board in boards if board is not first]
    if not others:
        return ""
    leaders = {board.title: leading(board) for board in others}
    groups = [group for group in GROUPS if any(group in found for found in leaders.values())]
    lines = [
        "Also measured, with the first recipe of each group and its time steps to parity (`=`: tied):",
        "",
        f"| board | ANN, % | test images | {' | '.join(groups)} |",
        f"| :--- | ---: | ---: |{' :--- |' * len(groups)}",
    ]
    for board in others:
        ann = wording.UNKNOWN if board.ann_metric is None else wording.percent(board.ann_metric)
        images = wording.UNKNOWN if board.images is None else f"{board.images:,}"
        found = [in_markdown(leaders[board.title].get(group, "")) for group in groups]
        lines.append(f"| {' | '.join([in_markdown(board.title), ann, images, *found])} |")
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    return [
        wording.place(row),
        f"`{in_markdown(row.label)}`",
        wording.percent(row.metric),
        wording.steps(row, row.steps_within_1_point),
        wording.parity_energy(row, row.energy_at_parity.get(energy.REFERENCE)),
        wording.parity_energy(row, row.energy_at_parity.get(MATCHED)),
        wording.spikes(row),
    ]


def _findings(board: Board) -> str:
    lines = [f"**{in_markdown(board.title)}** ({in_markdown(wording.heading(board, in_full=True))}):", ""]
    lines += [f"- {in_markdown(sentence)}" for sentence in winners(board).values()]
    opponent, models = verdicts.quantised_ann(board), models_of([board])
    for group in GROUPS:
        row = next((row for row in board.rows if row.group == group and row.rank == 1), None)
        if row is not None and row.steps_within_1_point is not None:
            said = f"costs less than the ANN under {_under(verdicts.verdict(row, models))}"
            if opponent is not None:
                under = _under(verdicts.verdict(row, models, opponent))
                said += f"; less than the quantised ANN (`{opponent.label}`) under {under}"
            lines.append(f"- `{row.label}` {said}.")
    return "\n".join(lines)


def _under(verdict: verdicts.EnergyVerdict) -> str:
    count, _, names = str(verdict).partition(": ")
    return f"{count} energy models{f' ({names})' if names else ''}"


def boards_over_time(name: str, boards: list[Board]) -> str:
    """Every board of a data set, over time, and what it says of the claim that it was measured for."""
    claim = CLAIMS.get(name)
    found = []
    for board in boards:
        if board.dataset.lower() == name:
            found += [over_time(board), *(["\n".join(claim(board))] if claim else [])]
    return "\n\n".join(found)


# SpiCalib (Li et al. 2022, arXiv 2207.02702): 1/50 of the time steps in detection, 0.492 of the energy in
# segmentation.
CLAIMS: dict[str, Callable[[Board], list[str]]] = {
    "bccd": partial(fewer_steps, claimed=50),
    "camvid": partial(less_energy, claimed=0.492),
}


TEXTS: dict[str, Callable[[list[Board]], str]] = {
    "findings": findings,
    "board": first_board,
    "others": other_boards,
    **{
        name: partial(boards_over_time, name)
        for name in ("imagenet", "bccd", "camvid", "digits", "digit_scenes")
    },
}


def main(*arguments: str) -> None:
    """Write texts and pictures."""
    from leaderboard.reports.energy_plot import draw_models

    records = load_shipped().records
    if not records:
        sys.exit("no reference records: spikemark reference --update RESULTS packs some")
    boards = rank(records)
    for path in pages():
        path.write_text(renewed(path.read_text(encoding="utf-8"), boards), encoding="utf-8")
        print(path.relative_to(ROOT))
    figure = draw_models(max(boards, key=lambda board: len(board.rows)))
    if figure is not None:
        target = IMAGES / "energy-models.png"
        figure.savefig(target, dpi=150, metadata={NOTE: digest(records)})
        print(target.relative_to(ROOT))
    if "--page" in arguments:
        sys.path.insert(0, str(IMAGES))
        from make_leaderboard import draw

        draw(records, digest(records))


if __name__ == "__main__":
    main(*sys.argv[1:])
