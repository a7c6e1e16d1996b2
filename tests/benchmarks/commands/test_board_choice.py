"""Which boards the terminal shows in full."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import click
import pytest

from benchmarks.commands.board_choice import Choice


def board(task: str, dataset: str, network: str, *origins: str) -> Any:
    """What of a board counts here: its names, and where its rows come from."""
    rows = tuple(SimpleNamespace(origin=origin) for origin in origins)
    return SimpleNamespace(task=task, dataset=dataset, network=network, rows=rows)


@pytest.fixture
def boards() -> list[Any]:
    return [
        board("classification", "CIFAR-10", "resnet20", "reference"),
        board("classification", "CIFAR-10", "vgg16", "reference", "claimed"),
        board("detection", "COCO", "yolo", "reference"),
    ]


def names(boards: Sequence[Any]) -> list[str]:
    return [board.network for board in boards]


def test_the_largest_board_is_opened_where_none_is_ones_own(boards: list[Any]) -> None:
    assert names(Choice().opened(boards)) == ["vgg16"]
    assert Choice().opened([]) == []


def test_every_board_with_a_row_of_ones_own_is_opened(boards: list[Any]) -> None:
    own = [boards[1], board("classification", "digits", "vit", "own", "reference"), boards[2]]
    own.append(board("detection", "mine", "yolo", "own"))
    assert names(Choice().opened(own)) == ["vit", "yolo"]


def test_what_options_choose_is_opened(boards: list[Any]) -> None:
    assert names(Choice(every=True).opened(boards)) == ["resnet20", "vgg16", "yolo"]
    for choice, expected in (
        (Choice(dataset="cifar-10"), ["resnet20", "vgg16"]),
        (Choice(task="Detection"), ["yolo"]),
        (Choice(dataset="CIFAR-10", network="resnet20"), ["resnet20"]),
    ):
        assert names(choice.opened(choice.of(boards))) == expected
    assert Choice(dataset="CIFAR-10", network="a b").words == ["--dataset", "CIFAR-10", "--network", "a b"]


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (
            Choice(task="translation"),
            "no board of task 'translation' here; there are classification, detection",
        ),
        (Choice(dataset="COCO", network="vgg16"), "no board of network 'vgg16' here; there are yolo"),
    ],
)
def test_a_name_that_is_not_there_is_refused(boards: list[Any], choice: Choice, why: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        choice.of(boards)
    assert refused.value.message == why
