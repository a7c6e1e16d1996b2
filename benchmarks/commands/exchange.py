"""The commands `spikemark export` and `spikemark import`."""

from __future__ import annotations

import io
import platform
from pathlib import Path

import click

from benchmarks.commands.options import RESULTS, stop
from benchmarks.execution.times import in_bytes
from benchmarks.loadable import holds_weights_alone
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

    A damaged archive is refused as a whole. A record that does not validate is refused and named.
    """
    from leaderboard import StoreError
    from leaderboard.store.archive import unpack

    try:
        merged = unpack(archive, results, networks, why_no_weights)
    except StoreError as error:
        stop(str(error))
    for name in merged.kept[:SHOWN]:
        say(f"kept yours: {printable(name)} differs")
    for name, why in merged.refused[:SHOWN]:
        say(f"refused: {printable(name)}: {printable(why)}", err=True)
    say(
        f"added {len(merged.added)}, already there {len(merged.same)}, kept yours {len(merged.kept)}, "
        f"refused {len(merged.refused)}"
    )
    if merged.refused:
        stop(f"{len(merged.refused)} file(s) of {archive} did not validate; all others were merged")


def why_no_weights(content: bytes) -> str | None:
    """What keeps these bytes from being a file of weights: tensors and plain values, and no code."""
    if holds_weights_alone(io.BytesIO(content)):
        return None
    return "it is damaged, or holds more than weights; nothing of it was run"


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
