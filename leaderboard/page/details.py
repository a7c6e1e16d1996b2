"""What an opened cell shows beside its row: configuration, origin, layers, diagnosis, pictures.

It is most of the page's text, so it is compressed, in blocks that the page unpacks one at a time.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import Any

from leaderboard.page.reproduce import reproduction
from leaderboard.ranking.rows import Row
from leaderboard.records.record import Point, Record
from leaderboard.statistics.figures import final_point
from leaderboard.store.diagnoses import CellDiagnosis, Diagnoses
from leaderboard.store.pictures import Picture, Pictures

Data = dict[str, Any]


@dataclass(frozen=True)
class Attached:
    """What lies beside the records."""

    pictures: Pictures
    diagnoses: Diagnoses


def packed(content: Any) -> str:
    """JSON, compressed, in base64; the same content gives the same text."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str)
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
            [s.name, s.kind, s.units, rounded(last.rates.get(s.name)), rounded(last.spikes.get(s.name))]
            for s in first.sources
        ],
        "synapses": [[s.name, s.drive, s.macs, rounded(last.synops.get(s.name))] for s in first.layers],
        "reproduce": reproduction(first),
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
    metrics = [[point.t, rounded(100 * point.metrics[record.metric], 6)] for point in _by_t(record)]
    return {
        "cell": record.cell_id,
        "seed": record.seed,
        "matrix": record.matrix,
        "checkpoint": record.ann.checkpoint_sha256,
        "ann": record.ann.metrics,
        "metrics": metrics,
        "origin": origin,
    }


def _picture(picture: Picture) -> Data:
    return {"caption": picture.caption, "uri": picture.uri}


def _diagnosis(found: CellDiagnosis) -> Data:
    """Layers at each time step, figures in the order that cell.js names them."""
    at: dict[int, list[list[Any]]] = {}
    for row in found.layers:
        shares = (row.error, row.clipping, row.quantisation, row.input, row.unevenness)
        percentages = [None if share is None else rounded(100 * share, 3) for share in shares]
        at.setdefault(row.t, []).append(
            [row.layer, rounded(row.threshold, 3), rounded(row.rate, 3), *percentages]
        )
    return {"images": found.images, "whyNot": found.why_not, "at": sorted(at.items())}


def _by_t(record: Record) -> list[Point]:
    return sorted(record.curve, key=lambda point: point.t)


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Significant digits, so that the page carries no more than it shows."""
    if value is None:
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
