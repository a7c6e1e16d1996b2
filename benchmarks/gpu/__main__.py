"""Compare the GPU with the CPU in every recipe, measure throughput and memory, print tables, save JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

NO_DEVICE = 2  # exit code
UNEQUAL = 1
BACKEND = "triton"
ROUNDS = 3  # turns of each simulator; the median counts


@dataclass(frozen=True)
class Job:
    """One network to measure."""

    name: str
    make: Callable[[], nn.Module]
    images: int
    size: int
    steps: int
    memory: tuple[int, ...]  # time steps at which peak memory is taken


def main(given: Sequence[str] | None = None) -> int:
    """Run everything; 0 where every recipe sends the same on both devices."""
    options = _options(given)
    if options.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
    elif not torch.cuda.is_available():
        print("No CUDA device was found: nothing was measured. --dry-run tries everything on the CPU.")
        return NO_DEVICE
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("SPIKEMARK_CACHE", cache)
        report = run(options)
    if options.save:
        options.save.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"saved: {options.save}")
    wrong = [row["recipe"] for row in report["equality"] if row["verdict"].startswith(("differs", "failed"))]
    if wrong:
        print(f"not equal on both devices: {', '.join(wrong)}")
    return UNEQUAL if wrong else 0


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="tiny work on the CPU, kernels interpreted")
    parser.add_argument("--minutes", type=float, default=7.0, help="no new part begins later (default: 7)")
    parser.add_argument("--recipe", action="append", default=[], help="compare only this recipe; repeatable")
    parser.add_argument("--save", type=Path, help="write the results to this JSON file, too")
    options: argparse.Namespace = parser.parse_args(given)
    return options


def jobs(dry_run: bool) -> list[Job]:
    """What is measured."""
    from benchmarks.gpu.networks import resnet18, resnet20, tiny

    if dry_run:
        return [Job("tiny, 8x8", tiny, 2, 8, 2, (1, 2))]
    return [
        Job("ResNet-20, 32x32", resnet20, 256, 32, 64, (16, 64, 256)),
        Job("ResNet-18, 224x224", resnet18, 64, 224, 32, (16, 32)),
    ]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is asked for, printed as it is done; plain data."""
    from benchmarks.gpu.contenders import contenders
    from benchmarks.gpu.equality import compare_all
    from benchmarks.gpu.measure import memory, throughput
    from benchmarks.gpu.networks import noise

    device = torch.device("cpu" if options.dry_run else "cuda")
    started = time.monotonic()
    deadline = started + 60 * options.minutes
    report: dict[str, Any] = {
        "device": _device_name(device),
        "versions": _versions(),
        "dry_run": options.dry_run,
    }
    print(f"{report['device']}; {', '.join(f'{name} {found}' for name, found in report['versions'].items())}")
    if options.dry_run:
        print("a trial: figures of interpreted kernels say nothing")
    for job in jobs(options.dry_run):
        network, images = job.make().to(device), noise(job.images, job.size).to(device)
        half_time = started + 60 * options.minutes / 2
        rounds = 1 if options.dry_run else ROUNDS
        rows = throughput(network, images, job.steps, BACKEND, rounds, half_time)
        ours = contenders(network, images[:2], BACKEND)[f"SpikeMark {BACKEND}, float16"]
        peaks = memory(ours, images, job.memory)
        report[job.name] = {"images": job.images, "time_steps": job.steps, "rows": rows, "peak_mib": peaks}
        _print_throughput(job, rows, peaks)
    report["equality"] = compare_all(options.recipe, 2 if options.dry_run else 16, device, BACKEND, deadline)
    _print_equality(report["equality"])
    report["seconds"] = time.monotonic() - started
    print(f"done in {report['seconds']:.0f} s")
    return report


def _print_throughput(job: Job, rows: dict[str, dict[str, Any]], peaks: dict[int, float]) -> None:
    print(f"\n{job.name}: {job.images} images, T = {job.steps}\n")
    print("| simulator | images x steps / s | x plain loop | same class | peak MiB |")
    print("| --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        if "failed" in row:
            print(f"| {name} | {row['failed']} | | | |")
            continue
        print(
            f"| {name} | {row.get('images_x_steps_per_s', float('nan')):,.0f} "
            f"| {row.get('x_plain_loop', float('nan')):.2f} | {row.get('same_class', float('nan')):.3f} "
            f"| {row.get('peak_mib', 0):,.0f} |"
        )
    print("peak memory: " + ", ".join(f"{peak:,.0f} MiB at T = {steps}" for steps, peak in peaks.items()))


def _print_equality(rows: list[dict[str, Any]]) -> None:
    print("\n| recipe | GPU and CPU | spikes | differ by | kernels |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        kernels = ", ".join(f"{name} {count}" for name, count in row.get("kernels", {}).items())
        print(
            f"| {row['recipe']} | {row['verdict']} | {row.get('spikes', 0):,.0f} "
            f"| {row.get('differs', 0):,.0f} | {kernels} |"
        )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, kernels interpreted"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("triton", "spikingjelly"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    sys.exit(main())
