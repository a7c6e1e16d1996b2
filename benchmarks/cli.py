"""The `spikemark` command; each of its subcommands stands in `commands`."""

from __future__ import annotations

import click

from benchmarks.commands.checking import check_results
from benchmarks.commands.comparing import compare
from benchmarks.commands.diagnosing import diagnose
from benchmarks.commands.exchange import export, import_
from benchmarks.commands.listing import describe, list_
from benchmarks.commands.pictures import pictures
from benchmarks.commands.plugins import check, new
from benchmarks.commands.reading import leaderboard, published, results
from benchmarks.commands.references import reference
from benchmarks.commands.regression import regress
from benchmarks.commands.reproducing import reproduce
from benchmarks.commands.running import run, status, sync
from benchmarks.commands.submissions import validate
from benchmarks.commands.tuning import tune
from benchmarks.idle_threads import sleep_soon
from benchmarks.output.streams import Spikemark

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Spikemark, context_settings=HELP)
@click.version_option(package_name="spikemark")
def main() -> None:
    """Benchmark ANN-to-SNN conversion: accuracy versus time steps and energy, one leaderboard.

    \b
    Start here:
      spikemark run quickstart          needs no data, a few minutes on two cores
      spikemark status                  how far it is, from another terminal
      spikemark leaderboard             rank what was measured so far, among the references
      spikemark diagnose quickstart     where a conversion goes wrong, layer by layer
      spikemark list recipes            what a matrix can name
      spikemark describe spicalib       what a recipe does, and what is known of it
    """  # noqa: D301 - click looks for the character that \b stands for
    sleep_soon()


for command in (
    run,
    diagnose,
    list_,
    describe,
    status,
    sync,
    export,
    import_,
    leaderboard,
    reference,
    reproduce,
    validate,
    compare,
    published,
    results,
    tune,
    pictures,
    new,
    check,
    check_results,
    regress,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
