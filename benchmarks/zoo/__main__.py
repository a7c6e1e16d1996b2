"""What converts, network by network: `python -m benchmarks.zoo [NAMES] [--rows FILE] [--page FILE]`."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from benchmarks.output import say
from benchmarks.zoo.published import NETWORKS
from benchmarks.zoo.row import keep, kept_rows, measured
from benchmarks.zoo.table import lines, write_into


def main() -> None:
    """Measure networks, keep a row of each as soon as it is there, and print the table or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="names of torchvision")
    parser.add_argument("--rows", type=Path, help="file to keep rows in; networks in it are not run again")
    parser.add_argument("--page", type=Path, help="page to write the table into, in place of printing it")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.networks) - set(NETWORKS))
    if unknown:
        parser.error(f"no networks of this table: {', '.join(unknown)}; choose among {', '.join(NETWORKS)}")
    warnings.simplefilter("ignore")
    rows = kept_rows(arguments.rows) if arguments.rows else {}
    for name in arguments.networks:
        if name not in rows:
            rows[name] = measured(name, NETWORKS[name])
            if arguments.rows:
                keep(arguments.rows, rows[name])
            say(str(rows[name]))
    chosen = [rows[name] for name in arguments.networks]
    if arguments.page:
        write_into(arguments.page, chosen)
        return
    for line in lines(chosen):
        say(line)


if __name__ == "__main__":
    main()
