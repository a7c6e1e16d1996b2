"""The commands `spikemark export` and `spikemark import`."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import click

from benchmarks.commands.options import RESULTS, stop
from benchmarks.execution.times import in_bytes
from benchmarks.output import printable, say

SHOWN = 10  # names of each kind
PACKAGES = ("spikemark", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy")


@click.command()
@RESULTS
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Archive, e.g. lab.zip."
)
@click.option("--networks", is_flag=True, help="Also the trained networks; else their hashes alone.")
def export(results: Path, out: Path, networks: bool) -> None:
    """Pack RESULTS into one archive: sound records and studies, hashes, and this machine's environment."""
    from leaderboard import StoreError
    from leaderboard.store.archive import pack

    try:
        packed = pack(results, out, environment(), networks)
    except StoreError as error:
        stop(str(error))
    for name, why in packed.left_out:
        say(f"left out: {printable(name)}: {printable(why)}", err=True)
    say(f"written: {out} ({len(packed.names)} files, {in_bytes(out.stat().st_size)})")


@click.command(name="import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@RESULTS
@click.option("--networks", is_flag=True, help="Also take trained networks over, where none is there.")
def import_(archive: Path, results: Path, networks: bool) -> None:
    """Merge ARCHIVE, which `spikemark export` wrote, into RESULTS; nothing there is replaced.

    An archive is taken over as a whole or not at all: where a file is damaged, a record does not validate, or
    a network is not what records say of it, the error names it and nothing is imported.
    """
    from leaderboard import StoreError
    from leaderboard.store.archive import unpack

    try:
        merged = unpack(archive, results, networks, why_no_network)
    except StoreError as error:
        stop(str(error))
    for name in merged.kept[:SHOWN]:
        say(f"kept yours: {printable(name)} differs")
    say(f"added {len(merged.added)}, already there {len(merged.same)}, kept yours {len(merged.kept)}")


def why_no_network(content: bytes, config: dict[str, Any]) -> str | None:
    """As `benchmarks.foreign_networks.why_no_network`, which needs torch."""
    from benchmarks import foreign_networks

    return foreign_networks.why_no_network(content, config)


def environment() -> dict[str, str]:
    """This machine and the packages that can change a result."""
    from importlib import metadata

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
