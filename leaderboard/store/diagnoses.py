"""Where the error of a cell comes from, layer by layer: kept beside records, shown by the page.

    <folder>/diagnoses/<cell id>.json

`conversion.diagnosis` computes the figures and says what they mean; here they are only kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from leaderboard.files.atomic import write_text_atomically
from leaderboard.files.plain_files import LARGE, read_plain
from leaderboard.records.fields import Line, Number, Positive, Steps, Text
from leaderboard.records.record import Frozen

_CELL_ID = re.compile(r"[0-9a-f]{16}")


class LayerDiagnosis(Frozen):
    """One neuron layer at one time step; errors as shares of the layer's mean activation."""

    layer: Text
    t: Steps
    threshold: Number  # mean over channels
    rate: Number  # spikes per neuron and step
    error: Number | None  # norm of the error over norm of the activations; None: the ANN is silent there
    clipping: Number | None
    quantisation: Number | None
    input: Number | None  # that comes from the layers before
    unevenness: Number | None  # right input at the wrong time


class CellDiagnosis(Frozen):
    """The layers of a cell at some time steps, in the order of computation, or why there are none."""

    images: Positive  # training images, none of them used for calibration
    layers: list[LayerDiagnosis] = Field(default=[])
    why_not: Line = ""  # e.g. that the recipe's spikes are no rates


Diagnoses = Mapping[str, CellDiagnosis]  # cell id -> what was found


def write_diagnosis(results: Path, cell_id: str, diagnosis: CellDiagnosis) -> Path:
    """Keep a diagnosis in a results folder, in the place of an older one.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = results / "diagnoses" / f"{cell_id}.json"
    write_text_atomically(path, diagnosis.model_dump_json(indent=1) + "\n")
    return path


def load_diagnoses(results: Path) -> dict[str, CellDiagnosis]:
    """Every diagnosis of a results folder; files that hold none are passed over."""
    found = {}
    for path in sorted((results / "diagnoses").glob("*.json")):
        if _CELL_ID.fullmatch(path.stem) is None:
            continue
        try:
            found[path.stem] = CellDiagnosis.model_validate_json(read_plain(path, LARGE))
        except (OSError, ValueError):
            continue
    return found
