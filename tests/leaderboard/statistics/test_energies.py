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
    del payload["functions"]
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


LINES = ["fc: torch.nn.Linear -> kept (weighted)", "norm: torch.nn.LayerNorm -> analog, telescoped over time"]
EVALUATED = {"norm": 40.0}


def of_schema_3(folder: Path, record: Record, lines: list[str], evaluated: dict[str, float] | None) -> Record:
    """The record as schema 3 wrote it, read again; it evaluated so many values a step."""
    path = ResultStore(folder).write(record)
    payload = json.loads(path.read_text()) | {"schema_version": 3}
    del payload["functions"]
    payload["provenance"]["conversion"] = lines
    for point in payload["curve"]:
        each = None if evaluated is None else {n: v * point["t_total"] for n, v in evaluated.items()}
        point["functions"] = each
    path.write_text(json.dumps(payload))
    return ResultStore(folder).read(record.cell_id)


def test_functions_of_old_records_are_named_by_their_report_and_charged(make: Make, tmp_path: Path) -> None:
    stated = completed(make({2: 0.9, 4: 0.9}, layers=[layer(**SIZES)]))
    found = of_schema_3(tmp_path, stated, LINES, EVALUATED)
    assert found.functions is not None
    ((name, function),) = [(each.name, each) for each in found.functions]
    assert (name, function.operation, function.values) == ("norm", "torch.nn.LayerNorm", 40.0)
    for point, before in zip(found.curve, stated.curve, strict=True):
        for model in ("operations", "operations-int8"):
            assert point.energy_pj[model] == before.energy_pj[model]
        more = point.energy_pj["memory"] - before.energy_pj["memory"]
        assert more == pytest.approx(40 * point.t * (5 * 0.1 + 5 * 3.1))  # a norm, telescoped
    assert found.ann.energy_pj["memory"] - stated.ann.energy_pj["memory"] == pytest.approx(40 * 9.7)


def test_old_records_without_functions_keep_every_digit(make: Make, tmp_path: Path) -> None:
    stated = completed(make({2: 0.9, 4: 0.9}, layers=[layer(**SIZES, **ZEROS)]))
    for record in (stated, stated.model_copy(update={"method": stated.method})):
        found = of_schema_3(tmp_path, record, LINES[:1], None)
        assert found.functions == []
        assert found.ann.energy_pj == stated.ann.energy_pj
        assert [point.energy_pj for point in found.curve] == [point.energy_pj for point in stated.curve]


def test_functions_that_nobody_counted_leave_models_that_charge_them_without_a_figure(
    make: Make, tmp_path: Path
) -> None:
    stated = completed(make({2: 0.9}, layers=[layer(**SIZES)], group="baseline", sources=[]))
    quantised = stated.model_copy(deep=True)
    for point in quantised.curve:
        vars(point).update(spikes={}, rates={})
    relu = of_schema_3(tmp_path, quantised, ["relu: torch.nn.ReLU -> quantiser"], None)
    assert relu.functions == []
    assert relu.curve[0].energy_pj == quantised.curve[0].energy_pj
    norm = of_schema_3(tmp_path, quantised, LINES, None)
    assert norm.functions is None
    assert set(norm.curve[0].energy_pj) == set(norm.ann.energy_pj) == {"operations", "operations-int8"}


def test_a_read_out_names_no_strange_function(make: Make) -> None:
    record = make({2: 0.9})
    vars(record.curve[0])["functions"] = {"norm": 3.0}
    assert inconsistency(record) == "curve at t=2 has functions that the record has no values of: ['norm']"


@pytest.mark.parametrize(
    "change",
    [
        {"t_total": 0},
        {"t_total": "two"},
        {"functions": {"norm": 10**400}},
        {"functions": ["norm"]},
        {"energy_pj": None},
    ],
)
def test_damaged_old_records_are_set_aside(make: Make, tmp_path: Path, change: dict[str, object]) -> None:
    record = make({2: 0.9})
    of_schema_3(tmp_path, record, LINES, EVALUATED)
    path = ResultStore(tmp_path).path_of(record.cell_id)
    payload = json.loads(path.read_text())
    payload["curve"][0] |= change
    path.write_text(json.dumps(payload))
    loaded = ResultStore(tmp_path).load()
    assert loaded.records == []
    assert loaded.invalid[0].reason.startswith("field curve.0.")
