import base64
import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from leaderboard.page.data import ROWS_A_BLOCK, page_data
from leaderboard.page.details import in_percent, rounded
from leaderboard.page.shapes import SHAPES
from leaderboard.ranking import wording
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.scores.proportions import decode_outcomes
from leaderboard.statistics.intervals import paired_bootstrap, wilson_interval
from leaderboard.store.diagnoses import CellDiagnosis, LayerDiagnosis, load_diagnoses, write_diagnosis
from leaderboard.store.pictures import LARGEST, Picture, load_pictures

Make = Callable[..., Record]
PNG = b"\x89PNG\r\n\x1a\n"


def opened(blocks: Sequence[str], place: Mapping[str, int]) -> dict[str, Any]:
    return json.loads(gzip.decompress(base64.b64decode(blocks[place["block"]])))[place["place"]]


def named(shape: str, values: Sequence[Any]) -> dict[str, Any]:
    """What the page's script makes of a list."""
    return dict(zip(SHAPES[shape], values, strict=True))


def test_a_row_carries_its_curve_with_intervals_at_every_read_out(make: Make) -> None:
    record = make({2: 0.85, 4: 0.88, 8: 0.9}, ann=0.9, t_before=1)
    data, _ = page_data(rank([record]))
    (row,) = data["boards"][0]["rows"]
    found = named("point", row["curve"][1])
    assert [found[name] for name in ("t", "tTotal", "averaged", "metric", "gap")] == [4, 5, 4, 88, -2]
    bounds = wilson_interval(0.88, 1000)
    assert (found["low"], found["high"]) == pytest.approx((100 * bounds.low, 100 * bounds.high), rel=1e-3)
    assert record.outcomes is not None
    pair = [decode_outcomes(text, 1000) for text in (record.outcomes.at[4], record.outcomes.ann)]
    difference = paired_bootstrap(*pair)
    assert (found["gapLow"], found["gapHigh"]) == pytest.approx(
        (100 * difference.low, 100 * difference.high), rel=1e-3
    )
    assert (found["synops"], found["rate"], found["energy"]) == (200, 0.125, [pytest.approx(5e-4)])


def test_rows_stand_anew_under_every_limit(make: Make) -> None:
    records = [
        make({1: 0.80, 4: 0.81, 8: 0.82}, label="early"),
        make({1: 0.10, 4: 0.895, 8: 0.9}, label="late"),
        make({8: 0.7}, label="last"),
    ]
    (board,) = page_data(rank(records))[0]["boards"]
    assert board["limits"] == [1, 2, 4]
    at = {row["label"]: [each and named("standing", each) for each in row["at"]] for row in board["rows"]}
    assert {label: [each and (each["t"], each["ranks"][0]) for each in row] for label, row in at.items()} == {
        "early": [(1, 1), (1, 1), (4, 2), (8, 2)],
        "late": [(1, 2), (1, 2), (4, 1), (8, 1)],
        "last": [None, None, None, (8, 3)],
    }
    assert [each and each["stepsOne"] for each in at["late"]] == [None, None, 4, 4]


def test_what_an_opened_cell_shows_is_found_in_its_block(make: Make) -> None:
    records = [make(label=f"r{n}", method_paper=f"paper {n}") for n in range(ROWS_A_BLOCK + 1)]
    pictures = {records[3].cell_id: [Picture("truth", "QUJD"), Picture("large", None)]}
    data, blocks = page_data(rank(records), pictures=pictures)
    assert len(blocks) == 2
    for row in data["boards"][0]["rows"]:
        details = opened(blocks, row["details"])
        assert details["paper"] == row["label"].replace("r", "paper ")
        assert details["runs"][0]["cell"] == row["id"]
        assert len(details["pictures"]) == 2 * (row["label"] == "r3")
    assert blocks == page_data(rank(records), pictures=pictures)[1]


def test_energy_of_layers_is_taken_at_parity(make: Make) -> None:
    record = make({1: 0.5, 2: 0.895, 4: 0.9}, ann=0.9)
    curve = [
        p.model_copy(update={"energy_layers_pj": {"operations": {"fc": p.energy_pj["operations"]}}})
        for p in record.curve
    ]
    data, _ = page_data(rank([record.model_copy(update={"curve": curve})]))
    assert data["boards"][0]["rows"][0]["layers"] == {
        "t": 2,
        "parity": True,
        "names": ["fc"],
        "energy": {"operations": [pytest.approx(2e-4)]},
    }
    computed = page_data(rank([record]))[0]["boards"][0]["rows"][0]["layers"]
    assert computed["energy"]["operations"] == [
        pytest.approx(0.9 * 100 * 1e-6)
    ]  # no longer stored: from 100 SynOps


def test_published_figures_stand_beside_their_board_alone(make: Make, qcfs_curve) -> None:
    records = [make({4: 0.85}, label="qcfs", dataset=name, network="vgg16") for name in ("cifar10", "other")]
    curve = qcfs_curve("A 2022")
    first, second = page_data(rank(records), [curve])[0]["boards"]
    (each,) = first["published"]
    assert (each["metric"], each["gap"], each["here"], each["gapHere"]) == (94, -1, 85, -5)
    assert second["published"] == []


def test_pictures_are_read_by_cell(tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "b_1.png").write_bytes(PNG + b"b")
    (folder / "a.png").write_bytes(PNG + b"\0" * LARGEST)
    (folder / "c.png").write_bytes(b"<svg>")
    (found,) = load_pictures(tmp_path).items()
    assert found[0] == "0123456789abcdef"
    large, small = found[1]
    assert (large.caption, large.uri) == ("a", None)
    assert (small.caption, small.uri) == (
        "b 1",
        "data:image/png;base64," + base64.b64encode(PNG + b"b").decode(),
    )
    assert load_pictures(tmp_path / "nowhere") == {}


LAYER = LayerDiagnosis(
    layer="relu",
    t=4,
    threshold=1.5,
    rate=0.25,
    error=0.5,
    clipping=0.1,
    quantisation=0.2,
    input=None,
    unevenness=0.4,
)


def test_a_diagnosis_is_kept_beside_its_cell_and_shown_with_it(make: Make, tmp_path: Path) -> None:
    diagnosed, refused, neither = (make(label=label) for label in ("diagnosed", "refused", "neither"))
    later = LAYER.model_copy(update={"t": 8, "error": None})
    write_diagnosis(tmp_path, diagnosed.cell_id, CellDiagnosis(images=16, layers=[LAYER, later]))
    write_diagnosis(tmp_path, refused.cell_id, CellDiagnosis(images=16, why_not="no rates"))
    write_diagnosis(tmp_path, neither.cell_id, CellDiagnosis(images=16)).write_text("{}")
    (tmp_path / "diagnoses" / "notes.json").write_text(CellDiagnosis(images=1).model_dump_json())
    found = load_diagnoses(tmp_path)
    assert set(found) == {diagnosed.cell_id, refused.cell_id}
    data, blocks = page_data(rank([diagnosed, refused, neither]), diagnoses=found)
    shown = {row["label"]: opened(blocks, row["details"])["diagnosis"] for row in data["boards"][0]["rows"]}
    assert shown["diagnosed"] == {
        "images": 16,
        "whyNot": "",
        "at": [
            {"t": t, "errors": [["relu", 1.5, 0.25, error, 10, 20, None, 40]]}
            for t, error in ((4, 50), (8, None))
        ],
    }
    assert shown["refused"]["whyNot"] == "no rates"
    assert shown["neither"] is None
    assert load_diagnoses(tmp_path / "nowhere") == {}


def test_rows_say_whether_the_network_was_left_as_it_is(make: Make) -> None:
    records = [make(label="free"), make(label="trained", group="retrained", checkpoint="d" * 64)]
    rows = page_data(rank(records))[0]["boards"][0]["rows"]
    assert {row["label"]: row["untouched"] for row in rows} == {"free": True, "trained": False}


def test_figures_are_written_as_in_the_terminal() -> None:
    """Digits are left out only where the shorter figure is written alike: 391 / 423 is 92.43 %, not 92.44."""
    assert in_percent(391 / 423) == 92.43499
    drawn = random.Random(0)
    for _ in range(2000):
        images = drawn.randrange(1, 20_000)
        fraction = drawn.randrange(images + 1) / images
        assert f"{in_percent(fraction):.2f}" == wording.percent(fraction)
        value = 10 ** drawn.uniform(-6, 6)
        for digits, write in ((4, wording.rate), (3, wording.times), (4, wording.time_steps)):
            found = rounded(value, digits, write)
            assert found is not None
            assert write(found) == write(value)
    assert rounded(0.123456, 3, wording.times) == 0.123
    assert rounded(1e6 / 3, 3, wording.times) == 333333
