"""What an opened cell shows beside its row: configuration, origin, layers, diagnosis, pictures.

It is most of the page's text, so it is compressed, in blocks that the page unpacks one at a time.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leaderboard.page.reproduce import reproduction
from leaderboard.page.shapes import PageError, PageLayer, PageReading, PageSource
from leaderboard.page.texts import all_as_seen
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Record
from leaderboard.reference.agreement import Reproductions
from leaderboard.statistics.figures import final_point
from leaderboard.store.diagnoses import CellDiagnosis, Diagnoses
from leaderboard.store.pictures import Picture, Pictures

Data = dict[str, Any]
EXACT = 17  # significant digits that tell any two numbers apart
_DECIMALS = ("{:.2f}".format, "{:.1f}".format)


@dataclass(frozen=True)
class Attached:
    """What lies beside the records."""

    pictures: Pictures
    diagnoses: Diagnoses
    reproductions: Reproductions


def packed(content: Any) -> str:
    """JSON, compressed, in base64; the same content gives the same text."""
    text = json.dumps(all_as_seen(content), ensure_ascii=False, separators=(",", ":"), default=str)
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")


def details_of(row: Row, attached: Attached) -> Data:
    """What an opened cell shows beside its row."""
    first = row.records[0]
    last = final_point(first)
    return {
        "paper": first.method.paper,
        "configuration": first.config,
        "parts": first.method.parts,
        "tuning": None if first.tuning is None else first.tuning.model_dump(),
        "conversion": first.provenance.conversion,
        "runs": [_run(record) for record in row.records],
        "sources": [
            PageSource(
                name=source.name,
                kind=source.kind,
                units=source.units,
                rate=rounded(last.rates.get(source.name)),
                spikes=rounded(last.spikes.get(source.name)),
            ).listed()
            for source in first.sources
        ],
        "layers": [
            PageLayer(
                name=layer.name,
                drive=layer.drive,
                macs=layer.macs,
                synops=rounded(last.synops.get(layer.name)),
            ).listed()
            for layer in first.layers
        ],
        "reproduce": reproduction(first),
        "reproduced": [
            found.model_dump()
            for r in row.records
            if (found := attached.reproductions.get(r.cell_id)) is not None
        ],
        "pictures": [_picture(each) for r in row.records for each in attached.pictures.get(r.cell_id, [])],
        "diagnosis": next(
            (
                _diagnosis(attached.diagnoses[r.cell_id])
                for r in row.records
                if r.cell_id in attached.diagnoses
            ),
            None,
        ),
    }


def _run(record: Record) -> Data:
    origin = record.provenance.model_dump(exclude={"conversion"})
    readings = [
        PageReading(t=point.t, metric=in_percent(point.metrics[record.metric]))
        for point in sorted(record.curve, key=lambda point: point.t)
    ]
    return {
        "cell": record.cell_id,
        "seed": record.seed,
        "matrix": record.matrix,
        "checkpoint": record.ann.checkpoint_sha256,
        "ann": record.ann.metrics,
        "readings": [reading.listed() for reading in readings],
        "origin": origin,
    }


def _picture(picture: Picture) -> Data:
    return {"caption": picture.caption, "uri": picture.uri}


def _diagnosis(found: CellDiagnosis) -> Data:
    """Layers at each time step."""
    at: dict[int, list[list[Any]]] = {}
    for row in found.layers:
        error = PageError(
            layer=row.layer,
            threshold=rounded(row.threshold, 3),
            rate=rounded(row.rate, 3),
            error=_percentage(row.error),
            clipping=_percentage(row.clipping),
            quantisation=_percentage(row.quantisation),
            input=_percentage(row.input),
            unevenness=_percentage(row.unevenness),
        )
        at.setdefault(row.t, []).append(error.listed())
    return {
        "images": found.images,
        "whyNot": found.why_not,
        "at": [{"t": t, "errors": errors} for t, errors in sorted(at.items())],
    }


def _percentage(share: float | None) -> float | None:
    return None if share is None else rounded(100 * share, 3)


def rounded(value: float | None, digits: int = 4, *written: Callable[[float], str]) -> float | None:
    """Significant digits, so that the page carries no more than it shows.

    Args:
        value: a figure.
        digits: how many suffice, unless the figure would be written otherwise than the exact one.
        written: the ways in which figures of this kind are written: 92.43499 has 6 digits 92.4350, which
            would be written 92.44 where the terminal says 92.43.
    """
    if value is None:
        return None
    short = float(f"{value:.{digits}g}")
    if digits < EXACT and any(write(short) != write(value) for write in written):
        return rounded(value, digits + 1, *written)
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def in_percent(fraction: float | None) -> float | None:
    """A fraction in percent, for two decimals, or one in intervals."""
    return None if fraction is None else rounded(100 * fraction, 6, *_DECIMALS)
