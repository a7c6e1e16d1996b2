"""Whatever a field of a record file holds, the file is refused in one line or harms no table."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from leaderboard.page import html
from leaderboard.published import select_published
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record, Tuning, content_hash
from leaderboard.reports.entries import to_csv, to_json
from leaderboard.reports.latex import to_latex
from leaderboard.reports.markdown import markdown_report
from leaderboard.reports.tables import render
from leaderboard.store.results import ResultStore, parse_record

Make = Callable[..., Record]
Place = tuple[str | int, ...]
TUNING = Tuning(
    study="s", dataset="digits", network="net", seed=0, objective="kl", t=4, images=9, sampler="gp",
    sampler_seed=0, trials=4, pruned=1, seconds=2.0, image_steps=9.0, ann_forwards=8.0, value=-0.5,
    default=None,
)  # fmt: skip
CONFIG = {
    "version": 1,
    "ann": {"dataset": {"name": "digits"}, "network": {"name": "net"}, "training": {"epochs": 1}, "seed": 1},
    "recipe": {"name": "recipe", "neuron": {"max_levels": 3}},
    "time_steps": [1, 2],
    "calibration_images": 64,
    "seed": 0,
}
SIZES = {"weights": 90, "biases": 10, "inputs": 90, "outputs": 10, "taps": 0, "sources": ["small"]}
ODD = [
    *(
        7.5,
        -0.5,
        1e308,
        -1e308,
        5e-324,
        1e-300,
        1e31,
        2**64,
        10**400,
        -1,
        0,
        1,
        math.inf,
        -math.inf,
        math.nan,
    ),
    *(None, True, "", "x", "9" * 30, "x" * 10_000_000, "\ud800", "\x1b[2J", [], {}, [[]], {"a": {"b": []}}),
    *("2026-13-01T00:00:00Z", {"1": 1e308}, [1e308], [None], {"name": []}, {"max_levels": -5}),
]


@pytest.fixture(scope="module")
def payload(make: Make) -> dict[str, Any]:
    """A sound record with something in every field."""
    record = make({1: 0.5, 2: 0.9}, kl=0.1, tuning=TUNING, method_parts={"neuron": {"max_levels": 3}})
    content = json.loads(json.dumps(record.model_dump()))
    content["config"], content["cell_id"] = CONFIG, content_hash(CONFIG)
    content["layers"][0] |= SIZES | {"active_macs": 900.0, "active_inputs": 80.0}
    content["functions"] = [
        {"name": "softmax", "operation": "torch.softmax", "values": 3.0, "inputs": 3.0},
        {"name": "length", "operation": "torch.norm", "values": 1.0, "inputs": 3.0},
    ]
    for point in content["curve"]:
        point |= {"averaged": point["t"], "functions": {"softmax": 3.0}, "activation_bits": 2}
        point |= {"active_macs": {"fc": 9.0}, "active_inputs": {"fc": 9.0}}
        point["energy_layers_pj"] = {"operations": {"fc": point["energy_pj"]["operations"]}}
    content["provenance"] |= {"verdict": "spiking", "reductions": {"a": "b"}, "nondeterministic": ["c"]}
    assert isinstance(read(content), Record)
    return content


def read(content: dict[str, Any], name: str | None = None) -> Record | str:
    return parse_record(json.dumps(content).encode(), name or str(content["cell_id"]))


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every entry of a JSON value, at any depth."""
    if place:
        yield place
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(entry, (*place, key))


def changed(content: dict[str, Any], place: Place, value: Any, rename: bool = False) -> dict[str, Any]:
    """A copy with another value at one place, or with that value as the name of the entry there."""
    whole = copy.deepcopy(content)
    inside: Any = whole
    for key in place[:-1]:
        inside = inside[key]
    if rename and isinstance(inside, dict):
        inside[str(value)] = inside.pop(place[-1])
    else:
        inside[place[-1]] = value
    if place[0] == "config" and isinstance(whole.get("config"), dict):  # a forger knows how to hash
        whole["cell_id"] = content_hash_or(whole["config"], whole["cell_id"])
    return whole


def content_hash_or(config: dict[str, Any], other: str) -> str:
    try:
        return content_hash(config)
    except ValueError:
        return other


def show_everywhere(records: list[Record]) -> None:
    """Every format of `spikemark leaderboard`; JSON and the page hold finite numbers alone, or refuse."""
    boards = rank(records)
    console = Console(file=io.StringIO(), width=200)
    render(boards, console, select_published([]))
    for text in (to_json(boards), to_csv(boards), to_latex(boards), markdown_report(boards, command="x")):
        assert len(text.encode()) < 2_000_000
    assert len(html.page_html(boards).encode()) < 2_000_000


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "plotly_javascript", lambda: "")


def test_every_field_is_refused_in_one_line_or_harmless(payload: dict[str, Any], make: Make) -> None:
    everywhere = list(places(payload))

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(everywhere), st.integers(0, len(ODD) - 1), st.booleans())
    def check(place: Place, odd: int, rename: bool) -> None:
        content = changed(payload, place, ODD[odd], rename)
        found = read(content, str(content.get("cell_id")))
        if isinstance(found, str):
            assert found
            assert "\n" not in found
            assert len(found) < 500
        else:
            show_everywhere([found, make()])

    check()


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("ann", "metrics", "top1"), 7.5, "ann metrics.top1 7.5 should be a share, from 0 to 1"),
        (("curve", 1, "metrics", "top1"), -0.2, "curve at t=2: metrics.top1 -0.2 should be a share"),
        (("curve", 0, "metrics", "kl"), -0.5, "curve at t=1: metrics.kl -0.5 should not be negative"),
        (("curve", 0, "metrics", "top5"), 1.5, "curve at t=1: metrics.top5 1.5 should be a share"),
        (("curve", 0, "metrics", "map50"), 1.5, "curve at t=1: metrics.map50 1.5 should be a share"),
        (
            ("curve", 0, "metrics", "pixel_accuracy"),
            50,
            "curve at t=1: metrics.pixel_accuracy 50 should be a",
        ),
        (("curve", 0, "metrics", "loss"), 1e308, "field curve.0.metrics.loss: Input should be less than"),
        (("curve", 0, "spikes", "small"), -1, "field curve.0.spikes.small: Input should be greater than"),
        (("curve", 0, "spikes", "none"), 1, "curve at t=1 has spikes of layers that are no source: ['none']"),
        (
            ("curve", 0, "synops", "none"),
            1,
            "curve at t=1 has synops of layers that are no layer with weights: ['none']",
        ),
        (("curve", 0, "synops", "fc"), 1e308, "field curve.0.synops.fc: Input should be less than"),
        (("curve", 0, "energy_pj", "memory"), -5, "field curve.0.energy_pj.memory: Input should be greater"),
        (("ann", "energy_pj", "memory"), 1e-300, "ann energy_pj.memory 1e-300 should be 0 or at least 1e-30"),
        (("functions", 0, "values"), 5e-324, "function softmax has values above 0 and below 1e-30"),
        (("functions", 0, "name"), "hard", "curve at t=1 has functions that the record has no values of"),
        (("functions", 0, "values"), 0, "curve at t=1 has functions that the record has no values of"),
        (("functions", 0, "values"), -1, "field functions.0.values: Input should be greater than"),
        (("layers", 0, "active_macs"), 5e-324, "layer fc has active_macs above 0 and below 1e-30"),
        (("curve", 0, "rates", "small"), 1e-300, "curve at t=1: rates.small 1e-300 should be 0 or at least"),
        (("curve", 0, "spikes"), {}, "curve at t=1 has synops and no spikes that they could come from"),
        (("ann", "macs"), -1, "field ann.macs: Input should be greater than or equal to 0"),
        (("ann", "checkpoint_sha256"), "x", "field ann.checkpoint_sha256: String should match pattern"),
        (("layers", 0, "sources"), ["none"], "layer fc has sources that are none: ['none']"),
        (("layers", 0, "weights"), -1, "field layers.0.weights: Input should be greater than or equal to 0"),
        (("sources", 0, "units"), 0, "field sources.0.units: Input should be greater than or equal to 1"),
        (("sources", 1, "name"), "small", "sources names a layer twice"),
        (("provenance", "created"), "soon", "field provenance.created: should be a time of ISO 8601 in UTC"),
        (("provenance", "created"), "2026-02-30T00:00:00Z", "field provenance.created: should be a time"),
        (("provenance", "wall_time_s", "cell"), -1, "field provenance.wall_time_s.cell: Input should be"),
        (("provenance", "peak_memory_mib"), 1e308, "field provenance.peak_memory_mib: Input should be less"),
        (("provenance", "git_commit"), "main; ls", "field provenance.git_commit: String should match"),
        (("method", "label"), "x" * 10_000_000, "field method.label: String should have at most 1000 char"),
        (("method", "parts"), {"a": "x" * 10**7}, "method.parts holds a text of 10000000 characters"),
        (("config", "seed"), 1, None),  # another configuration under the same id
        (("config", "seed"), 5, "seed is 0, and 5 in config"),
        (("seed",), 5, "seed is 5, and 0 in config"),
        (("config", "task"), "detection", "task is 'classification', and 'detection' in config"),
        (("method", "name"), "spicalib", "method.name is 'spicalib', and 'recipe' in config"),
        (("method", "parts", "neuron", "max_levels"), 2, "method.parts are not those of the recipe in"),
        (("config", "time_steps"), [1], "curve has t=2, which is none of config.time_steps"),
        (("config", "time_steps"), [2, "1", [1]], "curve has t=1, which is none of config.time_steps"),
        (("config", "x"), [1e308], "config holds a number that is not finite or beyond 1e+30"),
        (("config", "x"), list(range(30_000)), "config holds more than 20000 values"),
        (("outcomes", "count"), 10**9, "field outcomes.count: Input should be less than or equal to 2000000"),
        (("seed",), 2**64, "field seed: Input should be less than or equal to"),
        (("curve", 0, "t"), 2**64, "field curve.0.t: Input should be less than or equal to"),
    ],
)
def test_impossible_values_are_set_aside_with_their_field(
    payload: dict[str, Any], make: Make, tmp_path: Path, place: Place, value: Any, reason: str | None
) -> None:
    content = changed(payload, place, value)
    if reason is None:
        content["cell_id"] = payload["cell_id"]
        reason = f"config is not the one that cell_id {payload['cell_id']} is the hash of"
    if (isinstance(value, float | int) and place[:3] == ("curve", 0, "metrics")) or place[0] == "ann":
        content["outcomes"] = None  # which contradict the metric as well
    store, good = ResultStore(tmp_path), make()
    store.write(good)
    path = store.path_of(content["cell_id"])
    path.write_text(json.dumps(content))
    loaded = store.load()
    assert [record.cell_id for record in loaded.records] == [good.cell_id]
    ((invalid),) = loaded.invalid
    assert invalid.path == path
    assert invalid.reason.startswith(reason)
    assert len(invalid.reason) < 500


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("curve", 0, "metrics", "kl"), -1e-9),  # rounding of float32
        (("curve", 0, "metrics", "loss"), -3.0),
        (("curve", 0, "t_total"), 1.75),
        (("provenance", "created"), "2026-01-31T23:59:59.25+00:00"),
        (("provenance", "git_commit"), None),
        (("layers", 0, "sources"), None),  # schema 2
        (("method", "label"), "ü" * 1000),
    ],
)
def test_what_can_be_measured_is_read(payload: dict[str, Any], place: Place, value: Any) -> None:
    assert isinstance(read(changed(payload, place, value)), Record)


def test_a_quantised_ann_has_layers_with_sources_and_spikes_nowhere(payload: dict[str, Any]) -> None:
    content = copy.deepcopy(payload)
    content["sources"] = []
    content["method"] |= {"alphabet": "none", "max_per_step": 0, "group": "baseline"}
    for point in content["curve"]:
        point |= {"spikes": {}, "rates": {}}
    assert isinstance(read(content), Record)
