"""The command `spikemark tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.commands.options import DATA_ROOT, RESULTS, stop
from benchmarks.errors import MatrixError, TuningError
from benchmarks.output import screen

if TYPE_CHECKING:
    from benchmarks.tuning.auto import Constraint

AUTO = "auto"
ALPHABETS = ("binary", "burst", "signed", "graded", "weighted", "real")


@click.command()
@click.argument("matrix")
@DATA_ROOT
@RESULTS
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the tuned matrix.  [default: RESULTS/tuning/NAME-tuned.yaml]",
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    help="Recipe to tune, by label; may be given several times. `auto` searches over recipes themselves."
    "  [default: all]",
)
@click.option("--objective", type=click.Choice(["kl", "metric"]), help="What to improve.")
@click.option("--t", type=click.IntRange(min=1), help="Time steps of the read-out to tune for.")
@click.option("--trials", type=click.IntRange(min=1), help="Trials of each study.")
@click.option(
    "--startup-trials", type=click.IntRange(min=1), help="Trials before the sampler is guided by results."
)
@click.option("--sampler", type=click.Choice(["gp", "tpe", "random"]), help="How values are proposed.")
@click.option("--images", type=click.IntRange(min=1), help="Images that each trial is judged on.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the sampler.")
@click.option("--preset", type=click.Choice(["spicalib"]), help="Settings of a paper.")
@click.option("--prune/--no-prune", default=None, help="Whether trials that are behind may stop early.")
@click.option(
    "--alphabet",
    "alphabets",
    type=click.Choice(ALPHABETS),
    multiple=True,
    help="auto: what spikes may be beside binary; may be given several times.",
)
@click.option("--max-per-step", type=click.IntRange(min=1), help="auto: most spikes of a neuron in a step.")
@click.option("--t-total", type=click.IntRange(min=1), help="auto: most time steps, every phase counted.")
@click.option(
    "--energy", type=click.FloatRange(min=0, min_open=True), help="auto: most energy relative to the ANN."
)
def tune(
    matrix: str,
    data_root: Path | None,
    results: Path,
    out: Path | None,
    recipes: tuple[str, ...],
    alphabets: tuple[str, ...],
    max_per_step: int | None,
    t_total: int | None,
    energy: float | None,
    **settings: Any,
) -> None:
    """Tune the recipes of MATRIX, a YAML file or the name of a bundled matrix.

    One study for each data set, network, seed and recipe: the same number of trials and the same training
    images for all, never a test image. The first trial is the recipe as it is. Options override the
    section `tuning` of the matrix. Writes a matrix of the tuned recipes for `spikemark run`.

    Finished trials are kept: interrupt the command, start it again, and it goes on where it stopped.
    Started several times at once, with the same results folder, its workers share the trials.
    """
    from pydantic import ValidationError

    from benchmarks.matrix import load, locate

    console = screen()
    try:
        chosen = load(locate(matrix))
    except MatrixError as error:
        stop(str(error))
    from benchmarks.tuning.tune import Request
    from benchmarks.tuning.tune import tune as tune_matrix
    from benchmarks.user_errors import USER_ERRORS

    try:
        constraint = _constraint(recipes, alphabets, max_per_step, t_total, energy)
        request = Request(
            chosen.tuning.overridden(settings),
            data_root,
            results,
            out or results / "tuning" / f"{chosen.name}-tuned.yaml",
            () if constraint else recipes,
            constraint,
        )
        outcome = tune_matrix(chosen, request, console)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        stop(f"tuning.{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except (TuningError, *USER_ERRORS) as error:
        stop(str(error))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns an interrupt into an exit
        stop("interrupted; finished trials are kept. The same command goes on from there.", 130)
    if outcome.matrix is None:
        console.print("nothing to tune", highlight=False)
        return
    kept = [study for study in outcome.studies if not study.improved]
    if kept:
        names = ", ".join(sorted({study.cell.title for study in kept}))
        console.print(
            f"not improved, kept as they are: {names}", highlight=False, markup=False, soft_wrap=True
        )
    console.print(f"matrix: {outcome.matrix}", soft_wrap=True, highlight=False)


def _constraint(
    recipes: tuple[str, ...],
    alphabets: tuple[str, ...],
    max_per_step: int | None,
    t_total: int | None,
    energy: float | None,
) -> Constraint | None:
    from benchmarks.tuning.auto import Constraint

    limits = (max_per_step, t_total, energy)
    if AUTO not in recipes:
        if alphabets or any(limit is not None for limit in limits):
            raise TuningError(
                "--alphabet, --max-per-step, --t-total and --energy constrain a search over recipes; "
                "add --recipe auto"
            )
        return None
    if len(recipes) > 1:
        raise TuningError("--recipe auto searches over recipes themselves; tune the others without it")
    return Constraint(tuple(alphabets), *limits)
