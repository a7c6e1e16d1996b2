"""Records gain models on reading, from their counts; figures that they state stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import energy
from energy import NotMeasured
from leaderboard.records.record import LayerCounts, Record, SourceLayer
from leaderboard.statistics.energies import bits_of, completed, layer_energies, parts_of
from leaderboard.statistics.figures import energy_ratio
from leaderboard.store.checks import inconsistency
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]

SIZES = {"weights": 1000, "biases": 10, "inputs": 100, "outputs": 10, "taps": 0, "sources": ["small"]}
ZEROS = {"active_macs": 300.0, "active_inputs": 30.0}


def layer(**counts: object) -> LayerCounts:
    return LayerCounts(name="fc", macs=1000.0, drive="spikes", **counts)


def old_file(folder: Path, record: Record, version: int = 2) -> Path:
    """The record as an older SpikeMark wrote it."""
    path = ResultStore(folder).write(record)
    payload = json.loads(path.read_text())
    payload["schema_version"] = version
    payload["layers"] = [{"name": "fc", "macs": 1000.0, "drive": "spikes"}]
    for point in payload["curve"]:
        for new in ("functions", "activation_bits", "active_macs", "active_inputs"):
            del point[new]
    path.write_text(json.dumps(payload))
    return path


def test_an_old_record_gains_what_its_counts_allow_and_nothing_else(make: Make, tmp_path: Path) -> None:
    record = make()
    stated = {point.t: dict(point.energy_pj) for point in record.curve}
    path = old_file(tmp_path, record)
    text = path.read_text()
    for layers in (True, False):
        (found,) = ResultStore(tmp_path).load(layers=layers).records
        assert set(found.ann.energy_pj) == {"operations", "operations-int8"}
        assert found.ann.energy_pj["operations-int8"] == pytest.approx(4600.0)
        for point in found.curve:
            assert set(point.energy_pj) == {"operations", "operations-int8"}
            assert point.energy_pj["operations"] == stated[point.t]["operations"]  # to the last digit
            assert point.energy_pj["operations-int8"] == pytest.approx(0.1 * 50 * point.t)
            assert energy_ratio(found, point, "memory") is None
    assert path.read_text() == text


def test_a_stated_figure_wins_over_a_computed_one(make: Make) -> None:
    record = make({2: 0.9}, pj_per_step=123.456)
    found = completed(record.model_copy(deep=True))
    assert found.curve[0].energy_pj["operations"] == 246.912 != 0.9 * 100


def test_with_all_counts_there_are_all_models(make: Make) -> None:
    whole = completed(make(layers=[layer(**SIZES, **ZEROS)]))
    assert set(whole.curve[0].energy_pj) == set(whole.ann.energy_pj) == set(energy.models())
    without_zeros = completed(make(layers=[layer(**SIZES)]))
    assert set(without_zeros.ann.energy_pj) == {m for m in energy.models() if not m.startswith("skip-zeros")}


def test_a_model_with_other_assumptions_is_computed_too(make: Make) -> None:
    record = completed(make(layers=[layer(**SIZES)]))
    wide = energy.by_name("memory:access_bits=64")
    found = completed(record.model_copy(deep=True), [wide])
    assert found.curve[0].energy_pj[wide.name] < found.curve[0].energy_pj["memory"]
    assert found.curve[0].energy_pj["memory"] == record.curve[0].energy_pj["memory"]


def test_parts_of_layers_come_from_the_record_or_from_its_counts(make: Make) -> None:
    record = make({2: 0.9}, layers=[layer(**SIZES)])
    point = record.curve[0]
    assert layer_energies(record, point, "operations") == {"fc": pytest.approx(90.0)}
    assert set(layer_energies(record, point, "memory") or {}) == {"fc", "small", "large", "pool"}
    stated = point.model_copy(update={"energy_layers_pj": {"operations": {"fc": 1.0}}})
    assert layer_energies(record, stated, "operations") == {"fc": 1.0}
    assert layer_energies(make({2: 0.9}), point, "memory") is None
    with pytest.raises(NotMeasured, match="layer 'fc'"):
        parts_of(make({2: 0.9}), point, "memory")


def test_bits_of_the_quantised_ann_are_those_its_levels_need(make: Make) -> None:
    record = make({1: 0.5, 4: 0.8, 64: 0.9, 1000: 0.9}, group="baseline")
    assert [bits_of(record, point) for point in record.curve] == [1, 3, 7, 8]
    narrow = make(
        {64: 0.9}, group="baseline", method_parts={"neuron": {"name": "quantiser", "max_levels": 3}}
    )
    assert bits_of(narrow, narrow.curve[0]) == 2
    stated = record.curve[1].model_copy(update={"activation_bits": 4})
    assert bits_of(record, stated) == 4
    found = completed(record)
    assert [point.energy_pj["operations-int8"] for point in found.curve] == [
        pytest.approx(1000 * (0.2 * bits / 8 + 0.1)) for bits in (1, 3, 7, 8)
    ]


def test_more_inputs_than_there_are_contradict_a_record(make: Make) -> None:
    for wrong in ({"active_macs": 1001.0}, {"active_inputs": 101.0, "inputs": 100}):
        reason = inconsistency(make(layers=[layer(**wrong)]))
        assert reason is not None
        assert next(iter(wrong)) in reason
    assert inconsistency(make(layers=[layer(**SIZES, **ZEROS)])) is None


def test_a_source_that_nobody_counted_is_no_silent_source(make: Make) -> None:
    record = make(
        layers=[layer(**(SIZES | {"sources": None}))],
        sources=[SourceLayer(name="small", kind="neuron", units=100)],
    )
    assert "memory" not in completed(record).curve[0].energy_pj
    assert "memory" in record.ann.energy_pj  # the ANN has no sources
