"""Fill in the parts of a page that come from records, between <!-- energy: NAME --> and <!-- end -->.

    python docs/make_energy.py docs/energy.md RESULTS...

Several results folders are read as one: those of a matrix in float32 and in int8, say. All parts are in
`leaderboard.reports.page_parts`.
"""

import sys
from pathlib import Path

from leaderboard import ResultStore, rank
from leaderboard.reports.page_parts import fill


def main(page: str, *folders: str) -> None:
    """Rewrite a page."""
    path = Path(page)
    records = [record for folder in folders for record in ResultStore(folder).load().records]
    path.write_text(fill(path.read_text("utf-8"), rank(records)), "utf-8")
    print(f"{path}: from {len(records)} records")


if __name__ == "__main__":
    main(*sys.argv[1:])
