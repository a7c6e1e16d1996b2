import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leaderboard.files.atomic import StoreError
from leaderboard.published import PublishedCurve, beside, load_published, render_published, select_published
from leaderboard.published.curves import same_name
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record

Make = Callable[..., Record]

ENTRY: dict[str, Any] = {
    "paper": "A 2022",
    "recipe": "srp",
    "group": "retrained",
    "task": "classification",
    "dataset": "CIFAR-100",
    "network": "resnet20",
    "metric": "top1",
    "ann": 70.0,
    "at": {1: 46.5, 8: 63.0},
    "source": "Table 1",
    "evidence": "read",
}


def curve(**changes: Any) -> PublishedCurve:
    return PublishedCurve.model_validate(ENTRY | changes)


def test_what_is_published_is_plausible_and_stated_once() -> None:
    curves = load_published()
    assert len(curves) > 50
    seen = set()
    for each in curves:
        for t, value in each.at.items():
            assert 0 < value <= 100
            assert each.ann is None or value <= each.ann + 1  # conversion does not beat its ANN by more
            figure = (each.label, each.task, each.dataset, each.network, each.metric, each.source, t)
            assert figure not in seen
            seen.add(figure)
        assert all(t is None or 1 <= t <= 4096 for t in each.at)
        assert each.paper != each.source


def test_every_file_names_its_paper() -> None:
    papers = {each.paper for each in load_published()}
    assert all(any(year in paper for year in map(str, range(2015, 2027))) for paper in papers)


def test_steps_before_the_readout_count() -> None:
    each = curve(steps_before=4)
    assert (each.total(8), each.total(None)) == (12, None)
    assert each.gap(8) == pytest.approx(-7.0)
    assert curve(ann=None).gap(8) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"evidence": "remembered"}, "evidence"),
        ({"at": {}}, "at"),
        ({"task": "regression"}, "task"),
        ({"group": "best"}, "group"),
        ({"ann": 0.93}, None),  # a fraction would pass as a percentage; the law above catches it
        ({"ann": 193.0}, "ann"),
        ({"recipe": "Srp!"}, "recipe"),
        ({"metrics": "top1"}, "metrics"),
        ({"source": None}, "source"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(
    tmp_path: Path, changes: dict[str, Any], field: str | None
) -> None:
    import yaml

    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump({"paper": "A 2022", "results": [ENTRY | changes]}))
    if field is None:
        assert load_published(tmp_path)[0].ann == 0.93
    else:
        with pytest.raises(StoreError, match=rf"paper\.yaml: field {field}"):
            load_published(tmp_path)


@pytest.mark.parametrize("text", ["results: [", "- a list", "paper: without results", "results: 5", ""])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "paper.yaml").write_text(text)
    with pytest.raises(StoreError, match=r"paper\.yaml: not a file of published results"):
        load_published(tmp_path)


def test_what_stands_at_the_top_holds_for_every_result(tmp_path: Path) -> None:
    text = "recipe: srp\ngroup: retrained\ntask: classification\nmetric: top1\nsource: s\nevidence: read\n"
    text += "results:\n  - {paper: A 2022, dataset: X, at: {1: 5.0}}\n"
    text += "  - {paper: B 2023, dataset: Y, at: {~: 6.0}, evidence: quoted}\n"
    (tmp_path / "paper.yaml").write_text(text)
    first, second = load_published(tmp_path)
    assert (first.paper, first.evidence, first.network) == ("A 2022", "read", None)
    assert (second.recipe, second.evidence, second.at) == ("srp", "quoted", {None: 6.0})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("CIFAR-10", "cifar10", True),
        ("ResNet-20", "resnet20", True),
        ("vgg16_bn", "VGG16-BN", True),
        ("CIFAR-10", "CIFAR-100", False),
        ("vgg16", "vgg16_bn", False),
        (None, None, False),
        ("x", None, False),
    ],
)
def test_names_match_but_for_case_and_punctuation(one: str | None, other: str | None, same: bool) -> None:
    assert same_name(one, other) is same


def measured(make: Make, **changes: Any) -> Record:
    return make(**{"label": "srp", "dataset": "cifar100", "network": "ResNet-20"} | changes)


def test_a_figure_stands_beside_what_was_measured_at_its_t(make: Make) -> None:
    runs = [
        measured(make, curve={1: m, 4: 0.8}, ann=0.9, t_before=4, seed=s) for s, m in ((0, 0.5), (1, 0.7))
    ]
    first, second = beside(rank(runs)[0], [curve(at={8: 63.0, 1: 46.5}, steps_before=4)])
    assert (first.t, first.metric, second.t, second.metric) == (1, 46.5, 8, 63.0)
    assert first.measured is not None
    assert (first.measured.t_total, first.measured.metric) == (5, pytest.approx(0.6))
    assert first.measured_gap == pytest.approx(-30.0)
    assert (second.measured, second.measured_gap) == (None, None)  # not read out at 8


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "segmentation"},
        {"dataset": "CIFAR-10"},
        {"network": "resnet56"},
        {"network": None},
        {"metric": "top5"},
    ],
)
def test_a_figure_stands_beside_no_other_pairing(make: Make, changes: dict[str, Any]) -> None:
    (board,) = rank([measured(make)])
    assert beside(board, [curve(**changes)]) == []
    assert len(beside(board, [curve()])) == 2


def test_registry_names_pair_whatever_the_label(make: Make) -> None:
    ann = {"dataset": {"name": "cifar100"}, "network": {"name": "resnet20"}}
    (board,) = rank([measured(make, dataset="mine", network="ours", config={"ann": ann})])
    assert len(beside(board, [curve()])) == 2
    (other,) = rank([measured(make, dataset="mine", network="ours", config={"ann": "?"})])
    assert beside(other, [curve()]) == []


def test_only_the_unchanged_preset_is_compared(make: Make) -> None:
    (board,) = rank([measured(make, label="srp tau=8", method_name="srp")])
    assert {each.measured for each in beside(board, [curve()])} == {None}


def test_select() -> None:
    curves = [curve(), curve(recipe="cos", dataset="ImageNet"), curve(task="detection", group="binary")]
    assert select_published(curves) == curves
    assert select_published(curves, recipe="COS") == [curves[1]]
    assert select_published(curves, dataset="cifar-100", task="detection") == [curves[2]]
    assert select_published(curves, groups=["binary"]) == [curves[2]]
    assert select_published(curves, recipe="no") == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_listing_fits_and_says_what_it_shows(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, no_color=True)
    render_published([curve(steps_before=4), curve(network=None, at={None: 5.0}, note="[x]")], console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for words in ("CIFAR-100 · resnet20 (classification)", "network not stated", "5 (1): 46.50", "12 (8):"):
        assert words in text
    for words in ("n/a: 5.00", "Table 1 ([x])", "70.00", "read"):
        assert words in text


def test_the_listing_of_nothing() -> None:
    console = Console(file=io.StringIO(), width=80)
    render_published([], console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "Nothing published is known of that.\n"
