"""Measure all contenders in turn, several rounds, and print ratios to the baseline; memory against T."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.output import screen
from benchmarks.provenance import device_name, git_state, package_versions
from benchmarks.speed.contenders import BASELINE, Contender, contenders
from benchmarks.speed.memory import memory_curve
from benchmarks.speed.work import Work, make_work


def measure(work: Work, time_steps: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median images x time steps a second of every contender, and how its outputs compare.

    Contenders take turns, so that a machine whose speed drifts is fair to all of them.
    """
    taking_part = contenders(work)
    seconds: dict[str, list[float]] = {name: [] for name in taking_part}
    outputs = {name: run(work.images, 2) for name, run in taking_part.items()}  # warm up
    for _ in range(rounds):
        for name, run in taking_part.items():
            took, outputs[name] = _timed(run, work.images, time_steps)
            seconds[name].append(took)
    forward = _ann_seconds(work, rounds)
    reference = outputs["SpikeMark float32"]
    results: dict[str, dict[str, float]] = {}
    for name, times in seconds.items():
        median = statistics.median(times)
        agree = (outputs[name].argmax(1) == reference.argmax(1)).float().mean()
        results[name] = {
            "images_x_steps_per_s": len(work.images) * time_steps / median,
            "step_per_ann_forward": median / time_steps / forward,
            "same_class_as_float32": float(agree),
        }
        if work.labels is not None:
            right = (outputs[name].argmax(1) == work.labels).float().mean()
            results[name]["top1"] = float(right)
    return results


def _timed(run: Callable[..., Tensor], images: Tensor, *arguments: int) -> tuple[float, Tensor]:
    """Seconds a call took until its device was done, and its result."""
    _wait(images)
    started = time.perf_counter()
    result = run(images, *arguments)
    _wait(images)
    return time.perf_counter() - started, result


def _wait(images: Tensor) -> None:
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)


def _ann_seconds(work: Work, rounds: int) -> float:
    """Median time of one ordinary float32 forward pass of the ANN, in its faster memory layout."""
    network = work.network.to(memory_format=torch.channels_last)
    images = work.images.contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        network(images)
        for _ in range(max(rounds, 5)):
            times.append(_timed(network, images)[0])
    return statistics.median(times)


def linearity(run: Contender, work: Work) -> float:
    """Seconds a step at T = 256 over those at T = 64; 1 means linear."""
    images = work.images[:8]
    per_step = []
    for steps in (64, 256):
        times = []
        for _ in range(3):
            times.append(_timed(run, images, steps)[0] / steps)
        per_step.append(min(times))
    return per_step[1] / per_step[0]


def _print(console: Console, work: Work, steps: int, results: dict[str, dict[str, float]]) -> None:
    base = results.get(BASELINE, {}).get("images_x_steps_per_s")
    title = f"{work.name}: {len(work.images)} images, T = {steps}, {torch.get_num_threads()} threads"
    table = Table(title=title, title_justify="left")
    table.add_column("simulator")
    for heading in ("images x steps / s", f"x {BASELINE}", "step / ANN forward", "same class", "top-1"):
        table.add_column(heading, justify="right")
    for name, row in results.items():
        table.add_row(
            name,
            f"{row['images_x_steps_per_s']:,.0f}",
            f"{row['images_x_steps_per_s'] / base:.2f}" if base else "-",
            f"{row['step_per_ann_forward']:.2f}",
            f"{100 * row['same_class_as_float32']:.1f} %",
            f"{100 * row['top1']:.1f} %" if "top1" in row else "-",
        )
    console.print(table)


@click.command()
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    envvar="SPIKEMARK_DATA",
    show_envvar=True,
    help="CIFAR-10 images and checkpoint; without it, random weights and images.",
)
@click.option(
    "--network",
    "names",
    multiple=True,
    type=click.Choice(["resnet20", "resnet18"]),
    default=("resnet20", "resnet18"),
    show_default=True,
)
@click.option(
    "--images", default=64, show_default=True, help="Batch for ResNet-20; a sixteenth for ResNet-18."
)
@click.option(
    "--device",
    "place",
    type=click.Choice(["cpu", "cuda"]),
    help="Default: a GPU where there is one.",
)
@click.option("--time-steps", default=64, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Turns of each contender; the median counts.")
@click.option("--save", type=click.Path(path_type=Path), help="Also write the results to this JSON file.")
def main(
    data_root: Path | None,
    names: tuple[str, ...],
    images: int,
    place: str | None,
    time_steps: int,
    rounds: int,
    save: Path | None,
) -> None:
    """Compare simulators on the same weights, images and number of time steps."""
    console = screen()
    device = torch.device(place or ("cuda" if torch.cuda.is_available() else "cpu"))
    console.print(device_name(device))
    report: dict[str, Any] = {
        "device": device_name(device),
        "versions": package_versions(),
        "commit": git_state()[0],
    }
    for name in names:
        make = partial(make_work, name, images, data_root)
        peaks = memory_curve(make, device)  # first: what this process holds is not counted
        work = make(device)
        results = measure(work, time_steps, rounds)
        _print(console, work, time_steps, results)
        growth = linearity(contenders(work)["SpikeMark float32"], work)
        console.print(f"time a step at T = 256, relative to T = 64: {growth:.2f}")
        curve = ", ".join(f"{peak:,.0f} MiB at T = {steps}" for steps, peak in peaks.items())
        console.print(f"peak memory: {curve}\n")
        report[name] = {
            "time_steps": time_steps,
            "images": len(work.images),
            "linearity": growth,
            "peak_mib": peaks,
            **results,
        }
    if save is not None:
        save.write_text(json.dumps(report, indent=2) + "\n")
        console.print(f"saved: {save}")


if __name__ == "__main__":
    main()
