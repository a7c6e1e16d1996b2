"""Which boards a command shows: those of a task, a data set, a network; in the terminal not all at once.

Tables of every board that there are references for would bury one's own. So the terminal opens on the boards
that hold records of one's own, or where there are none on the one with the most rows; the others follow in
one line each. What is chosen by an option is shown in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from leaderboard.ranking.boards import Board

FIELDS = {"task": "task", "dataset": "data set", "network": "network"}

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Choice:
    """What the options say; None: any."""

    task: str | None = None
    dataset: str | None = None
    network: str | None = None
    every: bool = False  # all tables, however many

    @property
    def names_boards(self) -> bool:
        """Whether it says which boards are meant."""
        return self.every or any(getattr(self, field) is not None for field in FIELDS)

    @property
    def words(self) -> list[str]:
        """The options again, for a command line that shows the same boards."""
        said = [(field, getattr(self, field)) for field in FIELDS]
        return [word for field, name in said if name is not None for word in (f"--{field}", name)]

    def of(self, boards: Sequence[Board]) -> list[Board]:
        """Boards that fit, whatever the case of the names.

        Raises:
            click.BadParameter: none does; the message says which there are.
        """
        left = list(boards)
        for field, words in FIELDS.items():
            name = getattr(self, field)
            if name is None:
                continue
            there = list(dict.fromkeys(getattr(board, field) for board in left))
            left = [board for board in left if getattr(board, field).casefold() == name.casefold()]
            if not left:
                raise click.BadParameter(
                    f"no board of {words} {name!r} here; there are {', '.join(there)}",
                    param_hint=f"--{field}",
                )
        return left

    def opened(self, boards: Sequence[Board]) -> list[Board]:
        """Of boards that fit, those whose tables the terminal shows; the others are named below."""
        own = [board for board in boards if any(row.origin == "own" for row in board.rows)]
        if self.names_boards or not boards:
            return list(boards)
        return own or [max(boards, key=lambda board: len(board.rows))]


def board_choice(command: _Command) -> _Command:
    """Add the options of a `Choice` to a command: `task`, `dataset`, `network`, `every`."""
    for option in (
        click.option("--all", "every", is_flag=True, help="Show every table, those of references too."),
        click.option("--network", metavar="NAME", help="Show the boards of this network alone."),
        click.option(
            "--dataset", metavar="NAME", help="Show the boards of this data set alone, e.g. CIFAR-10."
        ),
        click.option(
            "--task",
            metavar="NAME",
            help="Show the boards of this task alone: classification, detection, ...",
        ),
    ):
        command = option(command)
    return command
