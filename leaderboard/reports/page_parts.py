"""Parts of written pages that come from records: what stands between two marks is made anew.

    <!-- energy: at-parity dataset=CIFAR-10 -->
    ... replaced ...
    <!-- end -->

`fill` does so for a whole page; `PARTS` has the parts by name. Options choose the board (`dataset`,
`network`) and `recipes`, by label, with commas between. Energies are under matched precision, see
`leaderboard.costs.matched`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from leaderboard.costs.break_even import standing
from leaderboard.costs.lines import SHOWN, explanation
from leaderboard.costs.lines import table_of as lines_of
from leaderboard.costs.matched import Matched, at_most, by_cost, matched, opponent_of, verdict
from leaderboard.costs.order import MATCHED, models_of
from leaderboard.costs.precision import LEGEND, MARK
from leaderboard.costs.verdicts import EnergyVerdict
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board

CLAIM = 0.492  # of the ANN's energy for the same performance, Li et al. 2022 (SpiCalib)

_PART = re.compile(r"(<!-- energy: (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


class PartError(ValueError):
    """A mark names a part, an option or a board that does not exist."""


def fill(text: str, boards: Sequence[Board]) -> str:
    """A page whose marked parts were made anew.

    Raises:
        PartError: a mark that nothing answers, or no mark at all.
    """
    if not _PART.search(text):
        raise PartError("the page has no part to fill: <!-- energy: NAME --> with <!-- end --> below it")
    return _PART.sub(lambda found: f"{found[1]}{_made(found[2], boards)}\n{found[3]}", text)


def _made(written: str, boards: Sequence[Board]) -> str:
    name, *rest = shlex.split(written)
    options = dict(each.partition("=")[::2] for each in rest)
    if name not in PARTS:
        raise PartError(f"no part {name!r}; there are {', '.join(PARTS)}")
    if unknown := sorted(options.keys() - {"dataset", "network", "recipes"}):
        raise PartError(f"part {name!r} has no option {unknown[0]!r}; it has dataset, network and recipes")
    board = _board(boards, options)
    return PARTS[name](board, _chosen(board, options.get("recipes")))


def _board(boards: Sequence[Board], options: Mapping[str, str]) -> Board:
    """The board of a data set and network; of several the one with the most rows."""
    found = [
        board
        for board in boards
        if options.get("dataset", board.dataset) == board.dataset
        and options.get("network", board.network) == board.network
    ]
    if not found:
        there = "; ".join(f"{board.dataset}, {board.network}" for board in boards)
        raise PartError(f"no board of {', '.join(options.values()) or 'anything'}; there are {there}")
    return max(found, key=lambda board: len(board.rows))


def _chosen(board: Board, names: str | None) -> list[Matched]:
    """Recipes in the order that was asked for; without names all, the cheapest at parity first."""
    recipes = by_cost(matched(board), models_of([board])[0])
    if names is None:
        return recipes
    by_label = {each.label: each for each in recipes}
    if missing := [name for name in names.split(",") if name not in by_label]:
        raise PartError(f"no recipe {missing[0]!r} on {board.title}; there are {', '.join(by_label)}")
    return [by_label[name] for name in names.split(",")]


def circumstances(board: Board, recipes: Sequence[Matched]) -> str:
    """What was measured, where, and when."""
    records = [record for each in recipes for row in each.rows for record in row.records]
    origins = [record.provenance for record in records]
    days = sorted(origin.created[:10] for origin in origins)
    said = [
        f"{len(records)} records of {wording.plain(board.dataset)} · {wording.plain(board.network)}: "
        f"{wording.heading(board, in_full=True)}",
        f"seeds {_names(str(record.seed) for record in records)}",
        f"weights in {_names(origin.precision for origin in origins)}",
        _names(origin.device for origin in origins),
        f"commit {_names((origin.git_commit or 'unknown')[:8] for origin in origins)}",
        days[0] + (f" to {days[-1]}" if days[-1] != days[0] else ""),
    ]
    return "; ".join(said) + "."


def at_parity(board: Board, recipes: Sequence[Matched]) -> str:
    """Recipe x model: energy at 1-point parity."""
    models = models_of([board])
    lines = [[each.label, each.steps, *map(each.said, models)] for each in recipes if each.is_at_parity]
    missed = [f"`{wording.plain(each.label)}`" for each in recipes if not each.is_at_parity]
    table = _table(["recipe", "T", *(f"`{model}`" for model in models)], lines)
    notes = [LEGEND] if any(MARK in cell for line in lines for cell in line) else []
    once = [f"`{wording.plain(each.label)}`" for each in recipes if each.quantises]
    if once:
        notes.append(
            f"At parity after one step of values with several levels, which is quantisation, and so beside "
            f"the quantised ANN: {', '.join(once)}."
        )
    notes += [f"Not at parity by their last T: {', '.join(missed)}."] if missed else []
    return "\n\n".join([table, *notes])


def verdicts(board: Board, recipes: Sequence[Matched]) -> str:
    """Under which models each recipe costs less than ANN and quantised ANN."""
    models, opponent = models_of([board]), opponent_of(matched(board))
    header = ["recipe", "less than the ANN under"]
    header += [] if opponent is None else [f"less than `{wording.plain(opponent.label)}` under"]
    lines = []
    for each in (each for each in recipes if each.spikes and each.is_at_parity):
        found = [verdict(each, models), *([] if opponent is None else [verdict(each, models, opponent)])]
        lines.append([each.label, *map(str, found)])
    return _table(header, lines, left=3)


def summary(board: Board, recipes: Sequence[Matched]) -> str:
    """Which verdicts hold under every model, and which turn, in sentences."""
    models, opponent = models_of([board]), opponent_of(matched(board))
    judged = [each for each in recipes if each.spikes and each.is_at_parity]
    said = [_sentence("the ANN", {each.label: verdict(each, models) for each in judged})]
    if opponent is not None:
        found = {each.label: verdict(each, models, opponent) for each in judged}
        said.append(_sentence(f"`{wording.plain(opponent.label)}`", found))
    return "\n\n".join(said)


def _sentence(opponent: str, found: Mapping[str, EnergyVerdict]) -> str:
    always = [label for label, each in found.items() if not each.dearer]
    never = [label for label, each in found.items() if not each.cheaper]
    turning = [label for label in found if label not in always + never]
    return (
        f"Less than {opponent} under every model: {_listed(always)}. Under none: {_listed(never)}. "
        f"Under some models and not under others: {_listed(turning)}."
    )


def break_even(board: Board, recipes: Sequence[Matched]) -> str:
    """Spikes a synapse at which each recipe would cost what the quantised ANN costs."""
    models = models_of([board])
    lines = []
    for each in (each for each in recipes if each.spikes and each.is_at_parity):
        cells = []
        for model in models:
            there = standing(each.row(model), model)
            against = "quantised-sparse" if model.startswith("skip-zeros") else "quantised"
            found = None if there is None else there.against.get(against)
            cells.append(_allowed(found.allowed) if found is not None else wording.UNKNOWN)
        there = standing(each.rows[0], models[0])
        spikes = wording.UNKNOWN if there is None else _figure(there.spikes)
        lines.append([each.label, spikes, *cells])
    return _table(["recipe", "spikes a synapse", *(f"`{model}`" for model in models)], lines)


def lines(board: Board, recipes: Sequence[Matched]) -> str:
    """Where the energy goes, under one model with memory."""
    found = lines_of(recipes, SHOWN)
    if found is None:
        return f"No record has the counts that `{SHOWN}` needs."
    return f"{explanation(SHOWN)}\n\n{_table(*found)}"


def claim(board: Board, recipes: Sequence[Matched]) -> str:
    """Under which models each recipe takes at most 0.492 of the ANN's energy at 1-point parity."""
    models = models_of([board])
    lines = [
        [each.label, each.steps, str(at_most(each, models, CLAIM))]
        for each in recipes
        if each.spikes and each.is_at_parity
    ]
    return _table(["recipe", "T", f"at most {CLAIM} of the ANN's energy under"], lines, left=3)


def pairs(board: Board, recipes: Sequence[Matched]) -> str:
    """Recipes that were measured in both precisions: metric and time steps of each."""
    header = ["recipe"]
    for width in ("float32", "int8"):
        header += [f"{wording.plain(board.metric)}, {width}", f"T to 1.0, {width}"]
    header += [f"`{models_of([board])[0]}`, float32", f"`{MATCHED}`, int8"]
    lines = []
    for each in (each for each in recipes if each.spikes and len(each.rows) > 1):
        cells = [each.label]
        for row in (each.rows[0], each.rows[-1]):
            cells += [wording.percent(row.metric), wording.steps(row, row.steps_within_1_point)]
        lines.append([*cells, *(each.said(model) for model in (models_of([board])[0], MATCHED))])
    return _table(header, lines) if lines else "No recipe was measured in both precisions."


def steps(board: Board, recipes: Sequence[Matched]) -> str:
    """One sentence: time steps to 1-point parity, fewest first."""

    def place(each: Matched) -> float:
        found = each.rows[0].steps_within_1_point
        return float("inf") if found is None else found

    spiking = sorted((each for each in recipes if each.spikes), key=place)
    said = ", ".join(f"`{wording.plain(each.label)}` {each.steps}" for each in spiking)
    both = " (float32 / int8)" if "/" in said else ""
    return f"Time steps until a network is within a point of the ANN{both}: {said}."


def turn(board: Board, recipes: Sequence[Matched]) -> str:
    """Sentences: energies at parity by operations in 32 bits and in matched 8 bits, and whose order turns."""
    first = models_of([board])[0]
    said = []
    for model, words in ((first, "in 32-bit floating point"), (MATCHED, "with 8-bit weights on both sides")):
        known = [(value, each) for each in recipes if (value := each.energy(model)) is not None]
        figures = [
            f"`{wording.plain(each.label)}` {each.said(model)}"
            for _, each in sorted(known, key=lambda k: k[0])
        ]
        said.append(f"{words} (`{model}`) {', '.join(figures)}")
    ending = f" ({MARK} counts of float32 runs)" if any(MARK in each for each in said) else ""
    return f"By operations alone, × the network's energy: {'; '.join(said)}{ending}.{_turned(recipes, first)}"


def _turned(recipes: Sequence[Matched], first: str) -> str:
    """Who costs less than the quantised ANN with equal widths alone."""
    opponent = opponent_of(recipes)
    if opponent is None:
        return ""
    ways = [verdict(each, [first, MATCHED], opponent) for each in recipes]
    found = [
        each.label
        for each, way in zip(recipes, ways, strict=True)
        if each.spikes and first in {name.removesuffix(MARK) for name in way.dearer} and way.cheaper
    ]
    name = f"`{wording.plain(opponent.label)}`"
    if not found:
        return f" No recipe's order to {name} turns between the two."
    return f" The order turns: with equal widths {_listed(found)} cost less than {name}, in 32 bits more."


def memory(board: Board, recipes: Sequence[Matched]) -> str:
    """One sentence: what of the verdicts against the quantised ANN is left once memory counts."""
    opponent = opponent_of(matched(board))
    models = [model for model in models_of([board]) if not model.startswith("operations")]
    if opponent is None or not models:
        return ""
    judged = [each for each in matched(board) if each.spikes and each.is_at_parity]
    cheaper = {each.label: verdict(each, models, opponent).cheaper for each in judged}
    some = [f"`{wording.plain(label)}` under {_listed(names)}" for label, names in cheaper.items() if names]
    left = f"but for {'; '.join(some)}" if some else "without exception"
    # A recipe may be at parity in one precision and not in the other; there it has no energy.
    found = {model: [each.energy(model) for each in judged] for model in models}
    costs = {model: sum(value is not None and value < 1 for value in found[model]) for model in models}
    said = {
        "no recipe": [model for model, n in costs.items() if n == 0],
        "every recipe": [model for model, n in costs.items() if n == len(judged)],
        "some recipes": [model for model, n in costs.items() if 0 < n < len(judged)],
    }
    clauses = [f"{who} under {_listed(names)}" for who, names in said.items() if names]
    return (
        f"Once memory counts, `{wording.plain(opponent.label)}` costs less than all {len(judged)} recipes at "
        f"parity under all {len(models)} models, {left}. Less than the ANN costs {'; '.join(clauses)}."
    )


def _allowed(value: float | None) -> str:
    return "never" if value is None else _figure(value)


def _figure(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{wording.plain(name)}`" for name in names) or "none"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted({wording.plain(name) for name in names}))


def _table(header: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    rule = [":---" if index < left or "under" in header[index] else "---:" for index in range(len(header))]
    body = [[f"`{wording.plain(line[0])}`", *line[1:]] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(header), rule, *body])


PARTS: dict[str, Callable[[Board, Sequence[Matched]], str]] = {
    "circumstances": circumstances,
    "at-parity": at_parity,
    "verdicts": verdicts,
    "summary": summary,
    "break-even": break_even,
    "lines": lines,
    "claim": claim,
    "pairs": pairs,
    "steps": steps,
    "turn": turn,
    "memory": memory,
}
