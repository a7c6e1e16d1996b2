"""Commands that read records: the leaderboard, the results page, published figures.

None of them needs torch, and each imports what it needs when it runs.
"""

from __future__ import annotations

import atexit
import gc
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from rich.console import Console

from benchmarks.commands.board_choice import Choice, board_choice
from benchmarks.commands.options import RESULTS, results_named, stop
from benchmarks.output import escaped, printable, say, screen

if TYPE_CHECKING:
    from leaderboard.published import PublishedCurve
    from leaderboard.ranking.boards import Board
    from leaderboard.ranking.families import Origin
    from leaderboard.ranking.orders import Order
    from leaderboard.records.record import Group
    from leaderboard.store.results import Loaded

GROUP_NAMES = ("binary", "multi-level", "retrained", "baseline")  # as `leaderboard.ranking.boards.GROUPS`
GROUPS = click.option(
    "--group",
    "groups",
    type=click.Choice(GROUP_NAMES),
    multiple=True,
    help="Show this fairness group alone; may be given several times.",
)

REFERENCES = click.option(
    "--reference/--no-reference",
    "with_references",
    default=True,
    help="Among the reference records that come with SpikeMark, or without them.  [default: among them]",
)


@click.command()
@RESULTS
@GROUPS
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a self-contained page to this file.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "markdown", "csv", "json", "latex"]),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--energy",
    "model",
    metavar="MODEL",
    help="Rank by energy at parity under this model, e.g. operations-int8, or one with other assumptions, "
    "memory:access_bits=64. `spikemark list energy` names all.",
)
@click.option(
    "--by",
    type=click.Choice(["parity", "accuracy", "energy", "area"]),
    help="What ranks: fewest time steps to parity, then energy there (the default); the metric at the last "
    "read-out, or within --t; energy at parity under --energy; the mean metric over T = 1, 2, 4, ...",
)
@click.option("--t", "limit", type=click.FloatRange(min=1), help="Rank at no more than this many time steps.")
@REFERENCES
@board_choice
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also draw the boards into this folder, as PDF, PNG and SVG.",
)
def leaderboard(
    results: Path,
    task: str | None,
    dataset: str | None,
    network: str | None,
    every: bool,
    groups: tuple[str, ...],
    html: Path | None,
    output: str,
    model: str | None,
    by: str | None,
    limit: float | None,
    with_references: bool,
    plots: Path | None,
) -> None:
    """Rank every record in RESULTS, among the reference records that come with SpikeMark.

    Shows, per task, data set and network and by fairness group: the metric at the last time step, time
    steps to parity with the ANN, energy there, and what a spike can be; below it what papers report for
    the same network on the same data set. Own records measured on the references' checkpoint and test images
    stand on their board, others beside, on a board that says what differs.

    The terminal shows the boards that hold your records, or the largest one where there are none, and names
    the others; --task, --dataset, --network or --all show their tables. Pages and files hold every board, or
    those that these options choose.
    """
    show(
        results,
        html,
        screen(stderr=output != "table"),
        groups,
        output,
        limit,
        plots,
        model,
        by=by,
        with_references=with_references,
        may_be_empty=not results_named(),
        choice=Choice(task, dataset, network, every),
    )


def show(
    results: Path,
    html: Path | None,
    console: Console,
    groups: tuple[str, ...] = (),
    output: str = "table",
    limit: float | None = None,
    plots: Path | None = None,
    model: str | None = None,
    *,
    by: str | None = None,
    with_references: bool = True,
    may_be_empty: bool = True,
    only_own: bool = False,
    choice: Choice | None = None,
) -> None:
    """Print the ranking of a results folder; write its page and draw its plots, if asked for.

    The page has every limit of time steps itself, so `limit` concerns what is printed and drawn. `only_own`
    leaves boards of references alone out of what is printed. `may_be_empty`: references are enough.
    """
    choice = choice or Choice()
    import energy
    from leaderboard import StoreError, load_published, only_groups, rank, render
    from leaderboard.costs.order import has_figures
    from leaderboard.published import select_published
    from leaderboard.ranking.boards import at_limit, ordered_by
    from leaderboard.statistics.energies import completed

    wanted = cast("tuple[Group, ...]", groups)
    try:
        chosen = None if model is None else energy.by_name(model)
        own_units = chosen is not None and ":" in chosen.name  # energies of others come with the records
        needs_layers = html is not None or output == "markdown" or own_units
        loaded, origins = with_shipped(
            [results], with_references, layers=needs_layers, may_be_empty=may_be_empty
        )
        if chosen is not None and own_units:
            records = [completed(record, [chosen]) for record in loaded.records]
            loaded = replace(loaded, records=records)
        order = order_of(by, model)
        # Where tables of some boards are all that is shown, the others need no more than their leaders.
        some = output == "table" and html is None and plots is None and not wanted and not choice.names_boards
        boards = only_groups(rank(loaded.records, origins, order, leaders=some), wanted)
        if not boards:
            stop(f"no records of {' or '.join(groups)} recipes in {results}; leave out --group to see all")
        boards = choice.of(boards)
        published = select_published(load_published(), groups=wanted)
        limited = at_limit(boards, limit, order, leaders=some)
        if not limited:
            stop(f"no network in {results} was read out within {limit:g} time steps; raise --t")
        if model is not None and not has_figures(limited, model):
            stop(f"no record in {results} has the counts that {model} needs; run its cells again")
        if only_own:
            limited = [board for board in limited if any(row.origin == "own" for row in board.rows)]
        if output == "table":
            opened = choice.opened(limited)
            shown = {id(board) for board in opened}
            others = [board for board in limited if id(board) not in shown]
            opened = ordered_by(opened, order, limit) if some else opened
            render(opened, console, published, model, order, limit, others)
            if others:
                say("--dataset, --network, --task or --all shows their tables.")
        else:
            words = [*choice.words, *_options("--group", *groups), *_options("--by", by)]
            words += _options("--t", None if limit is None else f"{limit:g}")
            words += [*_options("--energy", model), *([] if with_references else ["--no-reference"])]
            text = _printed(limited, output, ["--results", str(results), *words], published, model)
            say(escaped(text) if output == "json" else text, nl=False)
        for invalid in loaded.invalid:
            say(f"set aside: {printable(invalid.path)}: {printable(invalid.reason)}", err=True)
        if loaded.invalid:
            where = printable(shlex.quote(str(results)))
            say(f"`spikemark check-results {where}` says what becomes of them", err=True)
        if html is not None:
            from leaderboard.page.html import write_page
            from leaderboard.reference.agreement import load_reproductions
            from leaderboard.store.diagnoses import load_diagnoses
            from leaderboard.store.pictures import load_pictures
            from leaderboard.store.studies import load_studies

            write_page(
                boards,
                html,
                invalid=loaded.invalid,
                published=published,
                studies=load_studies(results),
                pictures=load_pictures(results),
                diagnoses=load_diagnoses(results),
                model=model,
                order=order,
                reproductions=load_reproductions(results),
            )
            console.print(f"page:    {html}", soft_wrap=True, highlight=False)
        if plots is not None:
            from leaderboard.reports.plots import write_plots

            drawn = write_plots(limited, plots, model=model or energy.REFERENCE)
            console.print(f"plots:   {len(drawn)} files in {plots}", soft_wrap=True, highlight=False)
    except (StoreError, energy.UnknownModelError) as error:
        stop(str(error))


def _printed(
    boards: Sequence[Board],
    output: str,
    options: Sequence[str],
    published: Sequence[PublishedCurve],
    model: str | None,
) -> str:
    """The ranking in a format for papers and programs; `options` are those of the command line."""
    from leaderboard import markdown_report
    from leaderboard.reports.entries import to_csv, to_json
    from leaderboard.reports.latex import to_latex

    if output == "markdown":
        command = shlex.join(["spikemark", "leaderboard", "--format", "markdown", *options])
        return markdown_report(boards, command=command, published=published, model=model)
    return to_latex(boards, model) if output == "latex" else {"csv": to_csv, "json": to_json}[output](boards)


def _options(name: str, *values: str | None) -> list[str]:
    return [word for value in values if value is not None for word in (name, value)]


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
@click.option(
    "--kl", is_flag=True, help="Also a table of the metric and the KL divergence from the ANN at every T."
)
def results(folders: tuple[Path, ...], out: Path | None, kl: bool) -> None:
    """Write what was measured in results FOLDERS as one Markdown page; without any, the reference records.

    A table for each fairness group of each network and data set, from records alone; how many test
    images there were and what they can tell; and what papers report for the same pairing.
    """
    from leaderboard import StoreError, load_published, markdown_report, rank, write_report
    from leaderboard.reference.shipped import load_shipped

    words = ["spikemark", "results", *(["--kl"] if kl else []), *(["--out", str(out)] if out else [])]
    try:
        loaded = read_records(folders, layers=True) if folders else None  # break-even needs layers
        records = load_shipped().references if loaded is None else loaded.records
        if not records:
            stop("no reference records come with this SpikeMark: name results folders")
        text = markdown_report(
            rank(records),
            command=shlex.join([*words, *map(str, folders)]),
            published=load_published(),
            divergence=kl,
        )
        for invalid in () if loaded is None else loaded.invalid:
            say(f"set aside: {printable(invalid.path)}: {printable(invalid.reason)}", err=True)
        if out is None:
            say(text, nl=False)
        else:
            say(f"written: {write_report(out, text)}")
    except StoreError as error:
        stop(str(error))


@click.command()
@click.option("--task", help="classification, detection or segmentation.")
@click.option("--dataset", help="Data set, e.g. CIFAR-10.")
@click.option("--recipe", help="Recipe, e.g. qcfs.")
def published(task: str | None, dataset: str | None, recipe: str | None) -> None:
    """List figures that papers report, with their source; none of them was measured here."""
    from leaderboard import StoreError, load_published, render_published
    from leaderboard.published import select_published

    try:
        render_published(select_published(load_published(), task, dataset, recipe), screen())
    except StoreError as error:
        stop(str(error))


def order_of(by: str | None, model: str | None) -> Order:
    """What `--by` and `--energy` ask for: a model alone asks for its order."""
    import energy
    from leaderboard.ranking.orders import Kind, Order

    kind = by or ("parity" if model is None else "energy")
    return Order(cast("Kind", kind), model or energy.REFERENCE)


def with_shipped(
    folders: Sequence[Path],
    with_references: bool = True,
    *,
    layers: bool = False,
    may_be_empty: bool = True,
) -> tuple[Loaded, dict[str, Origin]]:
    """Records of all folders and, unless they are not wanted, those that come with SpikeMark.

    Returns:
        The records, and for those that are not one's own where they come from. Stops where there are none,
        or none of one's own that may not be empty.
    """
    from leaderboard.reference.shipped import load_shipped
    from leaderboard.store.results import Loaded

    shipped = load_shipped(layers=layers) if with_references else None
    if shipped is None or not shipped.records:
        return read_records(folders, layers=layers), {}
    own = read_records(folders, layers=layers, may_be_empty=may_be_empty)
    measured = {record.cell_id for record in own.records}
    others = [record for record in shipped.records if record.cell_id not in measured]
    origins = {record.cell_id: shipped.origins[record.cell_id] for record in others}
    return Loaded(own.records + others, own.invalid), origins


def read_records(folders: Sequence[Path], *, layers: bool = False, may_be_empty: bool = False) -> Loaded:
    """Records of all folders together; stops where there are none, unless there may be none.

    `layers`: with what single layers spent, see `ResultStore.load`.
    """
    from leaderboard.store.results import Loaded, ResultStore

    gc.disable()  # and on again only when nothing that was read needs a look
    stores = [ResultStore(folder).load(layers=layers) for folder in folders]
    records = [record for store in stores for record in store.records]
    if not records and not may_be_empty:
        named = ", ".join(map(str, folders))
        stop(f"no records in {named}; run a matrix first, e.g. spikemark run quickstart")
    gc.freeze()  # thousands of records stay to the end: the collector need not look at them again,
    gc.enable()
    atexit.register(gc.unfreeze)  # but whatever else is left is taken down as it would be otherwise
    return Loaded(records, [invalid for store in stores for invalid in store.invalid])
