"""The leaderboard as one HTML file that needs nothing else.

plotly's JavaScript is read from the installed package and written into the page, so the file works
from a disk without a network; a content security policy forbids it to load anything. Names and
other text of records are shown as text whatever they contain: jinja2 escapes them in HTML, and the
data block escapes "<", ">", "&" and "'" so that no text can end it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from leaderboard import wording
from leaderboard.figures import metric_over_energy, metric_over_time
from leaderboard.files import StoreError, write_text_atomically
from leaderboard.published import PublishedCurve, beside
from leaderboard.published.table import EVIDENCE, comparison_cells
from leaderboard.ranking import GROUPS, Board
from leaderboard.statistics import OPERATIONS
from leaderboard.store import Invalid
from leaderboard.studies import Study, history, views

TEMPLATES = Path(__file__).parent / "templates"


def write_page(
    boards: Sequence[Board],
    path: str | Path,
    *,
    invalid: Sequence[Invalid] = (),
    published: Sequence[PublishedCurve] = (),
    studies: Sequence[Study] = (),
    title: str = "SpikeMark leaderboard",
) -> Path:
    """Write the leaderboard to one self-contained HTML file, all or nothing.

    Args:
        boards: from `leaderboard.ranking.rank`; may be empty.
        path: the file to write; missing folders are created.
        invalid: files that were set aside, named at the end of the page.
        published: figures of papers, shown apart, beside what was measured on the same pairing.
        studies: how tuned recipes were found.
        title: heading of the page.

    Returns:
        The file written. The same arguments give the same bytes.

    Raises:
        StoreError: the file cannot be written, or plotly is not installed.
    """
    target = Path(path)
    text = page_html(boards, invalid=invalid, published=published, studies=studies, title=title)
    write_text_atomically(target, text)
    return target


def page_html(
    boards: Sequence[Board],
    *,
    invalid: Sequence[Invalid] = (),
    published: Sequence[PublishedCurve] = (),
    studies: Sequence[Study] = (),
    title: str = "SpikeMark leaderboard",
) -> str:
    """The page as text; arguments and errors are those of `write_page`."""
    models = _energy_models(boards)
    figures: dict[str, Any] = {}
    for number, board in enumerate(boards, start=1):
        figures[f"time-{number}"] = metric_over_time(board)
        figures[f"energy-{number}"] = {
            "models": {model: metric_over_energy(board, model) for model in models}
        }
    for number, study in enumerate(studies, start=1):
        figures[f"study-{number}"] = history(study)
    records = [record for board in boards for row in board.rows for record in row.records]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            boards=boards,
            groups=GROUPS,
            models=models,
            operations=OPERATIONS,
            comparisons=[beside(board, published) for board in boards],
            comparison_cells=comparison_cells,
            evidence=EVIDENCE,
            invalid=invalid,
            studies=views(studies),
            figures=figures,
            count=len(records),
            newest=max((record.provenance.created for record in records), default=""),
            w=wording,
            plotly=Markup(plotly_javascript()) if boards else "",
        )
    )


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


def _energy_models(boards: Sequence[Board]) -> list[str]:
    """Operations, then every other energy model that any row has a figure for."""
    names = {model for board in boards for row in board.rows for model in row.energy_at_parity}
    return [OPERATIONS, *sorted(names - {OPERATIONS})]


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
