"""The curve of a test pass for pandas and as a figure, against small results by hand."""

import subprocess
import sys
from dataclasses import replace

import pytest

import energy
from lightning_modules.results import EvaluationResult, Measurement


def measurement(t, top1, pj):
    return Measurement(
        t=t,
        averaged=t,
        t_total=t + 3,
        metrics={"top1": top1, "spikes": 7.0},  # a metric may have any name
        spikes={"a": 2.0 * t, "b": 1.0},
        rates={},
        synops={"fc": 10.0 * t},
        energy_pj={"operations": pj},
    )


@pytest.fixture
def result():
    return EvaluationResult(
        metric="top1",
        ann={"top1": 0.9, "spikes": 8.0},
        ann_energy_pj={"operations": 46.0},
        counts=energy.Network((), {}),
        curve=[measurement(1, 0.5, 5.0), measurement(4, 0.875, 20.0)],
        wiring=None,
        sources=[],
        report=[],
        verdict="spiking",
        reductions={},
        ann_outcomes=None,
        outcomes={},
        seconds={},
        precision="float32",
        backend="pytorch",
    )


def test_a_frame_has_a_line_for_each_read_out(result):
    frame = result.frame()
    assert frame.columns.tolist() == [
        *("t", "averaged", "t_total", "snn/top1", "snn/spikes", "ann/top1", "ann/spikes"),
        *("spikes", "synops", "energy_pj/operations", "ann_energy_pj/operations"),
    ]
    assert frame.values.tolist() == [
        [1, 1, 4, 0.5, 7, 0.9, 8, 3, 10, 5, 46],
        [4, 4, 7, 0.875, 7, 0.9, 8, 9, 40, 20, 46],
    ]


def test_a_figure_has_the_curve_and_the_ann(result):
    figure = result.plot()
    (axes,) = figure.axes
    curve, ann = axes.get_lines()
    assert curve.get_xydata().tolist() == [[4, 0.5], [7, 0.875]]
    assert set(ann.get_ydata()) == {0.9}
    assert axes.get_ylabel() == "top1"
    assert figure._repr_png_().startswith(b"\x89PNG")
    other = result.plot("spikes").axes[0].get_lines()[0]
    assert other.get_ydata().tolist() == [7, 7]
    with pytest.raises(ValueError, match="no metric 'map' was measured; there are top1, spikes"):
        result.plot("map")


def test_a_name_is_no_mathematics(result):
    odd = "a$b_$^{"
    points = [replace(point, metrics={odd: 0.5}) for point in result.curve]
    strange = replace(result, metric=odd, ann={odd: 0.5}, curve=points)
    assert strange.plot()._repr_png_()
    assert strange.frame()[f"snn/{odd}"].tolist() == [0.5, 0.5]


def test_pandas_and_matplotlib_wait_until_they_are_asked_for():
    code = "import sys, lightning_modules.results; print(sorted({'pandas', 'matplotlib'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
