"""The leaderboard as one HTML file that needs nothing else.

The page's own script (see `bundle`), its styles (templates/style) and plotly's JavaScript are written
into it, so the file works from a disk without a network; a content security policy forbids it to load
anything. The data block is JSON that escapes "<", ">", "&" and "'", so that no text can end it, and the
scripts show text of records as text nodes alone. plotly comes last: the table stands before it is read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import energy
from leaderboard.costs import break_even, precision, verdicts
from leaderboard.costs.at_parity import EXPLANATION, HEADING, parity_energy_table
from leaderboard.costs.order import models_of
from leaderboard.files.atomic import StoreError, write_text_atomically
from leaderboard.page.bundle import bundled
from leaderboard.page.data import page_data
from leaderboard.page.study_views import history, views
from leaderboard.page.texts import all_as_seen, finalized
from leaderboard.published import PublishedCurve
from leaderboard.published.table import EVIDENCE
from leaderboard.ranking import wording
from leaderboard.ranking.boards import Board
from leaderboard.ranking.orders import DEFAULT, Order
from leaderboard.ranking.rows import Row
from leaderboard.reference.agreement import Reproductions
from leaderboard.repository import DOCS, REPOSITORY
from leaderboard.store.diagnoses import Diagnoses
from leaderboard.store.pictures import Pictures
from leaderboard.store.results import Invalid
from leaderboard.store.studies import Study

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("colours", "base", "controls", "tables", "plots", "cell", "print")


def write_page(
    boards: Sequence[Board],
    path: str | Path,
    *,
    invalid: Sequence[Invalid] = (),
    published: Sequence[PublishedCurve] = (),
    studies: Sequence[Study] = (),
    pictures: Pictures | None = None,
    diagnoses: Diagnoses | None = None,
    title: str = "SpikeMark leaderboard",
    model: str | None = None,
    order: Order = DEFAULT,
    reproductions: Reproductions | None = None,
) -> Path:
    """Write the leaderboard to one self-contained HTML file, all or nothing.

    Args:
        boards: from `leaderboard.ranking.boards.rank`; may be empty.
        path: the file to write; missing folders are created.
        invalid: files that were set aside, named at the end of the page.
        published: figures of papers, shown apart, beside what was measured on the same pairing.
        studies: how tuned recipes were found.
        pictures: of cells, shown with them; from `leaderboard.store.pictures`.
        diagnoses: of cells, likewise; from `leaderboard.store.diagnoses`.
        title: heading of the page.
        model: energy model that the page opens with; None: operations.
        order: what the page opens ranked by.
        reproductions: of cells that were measured again, from `leaderboard.reference.agreement`.

    Returns:
        The file written. The same arguments give the same bytes.

    Raises:
        StoreError: the file cannot be written, or plotly is not installed.
    """
    target = Path(path)
    text = page_html(
        boards,
        invalid=invalid,
        published=published,
        studies=studies,
        pictures=pictures,
        diagnoses=diagnoses,
        title=title,
        model=model,
        order=order,
        reproductions=reproductions,
    )
    write_text_atomically(target, text)
    return target


def page_html(
    boards: Sequence[Board],
    *,
    invalid: Sequence[Invalid] = (),
    published: Sequence[PublishedCurve] = (),
    studies: Sequence[Study] = (),
    pictures: Pictures | None = None,
    diagnoses: Diagnoses | None = None,
    title: str = "SpikeMark leaderboard",
    model: str | None = None,
    order: Order = DEFAULT,
    reproductions: Reproductions | None = None,
) -> str:
    """The page as text; arguments and errors are those of `write_page`."""
    data, blocks = page_data(boards, published, pictures, diagnoses, reproductions)
    records = [record for board in boards for row in board.rows for record in row.records]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            boards=boards,
            data=all_as_seen(
                data | {"studies": list(map(history, studies)), "chosen": model, "by": order.kind}
            ),
            blocks=blocks,
            models=data["models"],
            parity=[_parity(board) for board in boards],
            verdicts=[_verdicts(board) for board in boards],
            break_even=[_break_even(board) for board in boards],
            break_even_heading=break_even.HEADING,
            break_even_explanation=break_even.EXPLANATION,
            verdict_heading=verdicts.HEADING,
            verdict_explanation=verdicts.EXPLANATION,
            precision_legend=precision.LEGEND,
            pairs=[_pairs(board) for board in boards],
            pairs_heading=precision.PAIRS_HEADING,
            pairs_explanation=precision.PAIRS_EXPLANATION,
            energy_models=[energy.by_name(name) for name in data["models"] if name in energy.models()],
            parity_heading=HEADING,
            parity_explanation=EXPLANATION,
            evidence=EVIDENCE,
            invalid=invalid,
            studies=views(studies),
            count=len(records),
            newest=max((record.provenance.created for record in records), default=""),
            repository=REPOSITORY,
            docs=DOCS,
            versions=", ".join(sorted({str(board.benchmark_version) for board in boards})),
            w=wording,
            styles=[f"style/{name}.css" for name in STYLES],
            script=Markup(bundled()),
            plotly=Markup(plotly_javascript()) if boards else "",
        )
    )


def _verdicts(board: Board) -> dict[str, Any]:
    """Energies at parity of one board under every model, and what they are worth."""
    models, opponent = models_of([board]), verdicts.quantised_ann(board)
    rows = verdicts.at_parity(board) + ([] if opponent is None else [opponent])
    return {
        "board": board,
        "models": models,
        "opponent": None if opponent is None else opponent.label,
        "rows": [
            {
                "label": row.label,
                "energies": [_verdict_cell(row, model) for model in models],
                "under_ann": "" if row is opponent else str(verdicts.verdict(row, models)),
                "under_opponent": ""
                if row is opponent or opponent is None
                else str(verdicts.verdict(row, models, opponent)),
            }
            for row in rows
        ],
    }


def _parity(board: Board) -> dict[str, Any]:
    header, lines = parity_energy_table(board)
    return {"board": board, "header": header, "lines": lines}


def _pairs(board: Board) -> dict[str, Any]:
    header, lines = precision.pair_table(board) or ([], [])
    return {"board": board, "header": header, "lines": lines}


def _break_even(board: Board) -> dict[str, Any]:
    tables = [
        {"model": model, "header": header, "lines": lines}
        for model, header, lines in break_even.break_even_tables(board)
    ]
    return {"board": board, "tables": tables}


def _verdict_cell(row: Row, model: str) -> dict[str, str]:
    """What stands in a cell, and its class: cheaper than the ANN or dearer."""
    value = row.energy_at_parity.get(model)
    kind = "" if value is None else "cheaper" if value < 1 else "dearer"
    return {"text": precision.marked(wording.times(value), row, model), "kind": kind}


@cache
def plotly_javascript() -> str:
    """plotly.min.js of the installed plotly, found without importing it (the import is slow).

    Raises:
        StoreError: plotly or its JavaScript is not installed.
    """
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise StoreError("the page needs plotly's JavaScript: install it with `pip install plotly`")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}. Reinstall plotly.") from error
    # Inside a <script> element these would end it or change how it ends; in JavaScript strings the
    # backslash changes nothing.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    return environment
