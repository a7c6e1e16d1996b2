"""Where jobs run, as the command line says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import ExecutionError


@dataclass(frozen=True)
class Where:
    """Where jobs run; with nothing set, in this process.

    Attributes:
        workers: processes on this machine; with `slurm`, how many jobs may be queued or running at once.
        threads: CPU threads of each local worker; None: the cores divided by the workers.
        scheduler: address of a Dask scheduler, e.g. "tcp://10.0.0.1:8786".
        slurm: whether to submit to Slurm.
        partition: of Slurm; None: its default.
        minutes: time limit of each Slurm job.
        gpus: of each Slurm job.
        cpus: cores of each Slurm job.
        memory_gb: of each Slurm job; None: Slurm's default.
        logs: folder on a disk that all nodes see, for scripts and logs of Slurm jobs.
        cluster: what submitit submits to, "slurm" or, to try things out, "local".
    """

    workers: int | None = None
    threads: int | None = None
    scheduler: str | None = None
    slurm: bool = False
    partition: str | None = None
    minutes: int = 240
    gpus: int = 0
    cpus: int = 1
    memory_gb: int | None = None
    logs: Path = Path("~/.spikemark/slurm")
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        if self.slurm and self.scheduler:
            raise ExecutionError("--slurm and --scheduler exclude each other")
        if self.scheduler and self.workers is not None:
            raise ExecutionError(
                "--workers are processes on this machine; with --scheduler, start Dask workers"
            )

    @property
    def in_process(self) -> bool:
        """Whether one job after another runs in this very process."""
        return not (self.workers or self.scheduler or self.slurm)

    @property
    def at_once(self) -> int | None:
        """Jobs to submit before one has ended; None: all, because the executor queues them itself.

        Local workers find their next job waiting.
        """
        if self.in_process:
            return 1
        return 2 * self.workers if self.workers and not self.slurm else self.workers
