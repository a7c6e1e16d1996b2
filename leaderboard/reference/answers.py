"""What takes long to find out of the references, found out beforehand: an empty folder then opens at once.

answers.json holds who shares a rank, and the intervals of last read-outs, each under a hash of the records
that it follows from (`ranking.kept_answers`). An answer that is missing is computed. The file is renewed by
`spikemark reference --update`, or by `python -m leaderboard.reference.answers`; a test computes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from leaderboard.files.atomic import write_text_atomically
from leaderboard.ranking import kept_answers
from leaderboard.ranking.boards import rank
from leaderboard.reference.shipped import ANSWERS, HERE, load_shipped


def computed(folder: Path | None = None) -> kept_answers.Answers:
    """All that ranking the references asks, with and without claims of others.

    Args:
        folder: with the archives; None: those of this package.

    Raises:
        StoreError: an archive cannot be read.
    """
    with kept_answers.asked() as answers:
        shipped = load_shipped(folder, layers=False)
        for records in (shipped.records, shipped.references):
            for board in rank(records, shipped.origins):
                for row in board.rows:
                    _ = row.interval
    return dict(sorted(answers.items()))


def write(folder: Path | None = None) -> Path:
    """Renew the file beside the archives of a folder (None: of this package).

    Raises:
        StoreError: an archive cannot be read, or the file cannot be written.
    """
    path = (folder or HERE) / ANSWERS
    lines = [f"{json.dumps(key)}: {json.dumps(answer)}" for key, answer in computed(folder).items()]
    write_text_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


if __name__ == "__main__":
    write()
