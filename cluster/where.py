"""Where a build runs, as the user requests it: the number of workers, their resources, the cluster."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.cluster import resources
from kotovec.cluster.events import Notice, Report, ignore
from kotovec.errors import InputError
from kotovec.text import counted

if TYPE_CHECKING:
    from kotovec.cluster.plan import Plan

STALL_SECONDS = 900.0  # the first shard of a 30 B model on a slow disk takes minutes to load


@dataclass(frozen=True)
class Resources:
    """Where a build runs.

    Attributes:
        workers: number of actors; 0 encodes in this process, without Ray; None is one worker per core (one per GPU with
            `cuda`), as far as memory allows, and on a cluster as many as it has room for, as its nodes join and leave.
        gpus_per_worker: share of a GPU that a worker takes; None is 1 with `cuda` and 0 without.
        address: address of a Ray cluster, or None for a private local Ray.
        stall_seconds: time without a result after which a worker is replaced.
        folder: folder of a private Ray, from `temporary_folder`; None for a new one.

    Raises:
        InputError: a number is out of range.
    """

    workers: int | None = None
    gpus_per_worker: float | None = None
    address: str | None = None
    stall_seconds: float = STALL_SECONDS
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise InputError(
                f"--workers is {self.workers}", hint="use 1 or more, or 0 to encode in this process, without Ray"
            )
        if self.workers == 0 and self.address is not None:
            raise InputError("--workers 0 encodes in this process, not at --address", hint="leave out --address")
        gpus = self.gpus_per_worker or 0.0
        if self.workers == 0 and gpus:
            problem = "--gpus-per-worker is of workers, and --workers 0 starts none"
            raise InputError(problem, hint="leave out one of them")
        if gpus < 0 or (gpus > 1 and gpus % 1):
            raise InputError(f"--gpus-per-worker is {gpus:g}", hint="use a share from 0 to 1, or a whole number")
        if not self.stall_seconds > 0:
            raise InputError(f"--stall-seconds is {self.stall_seconds:g}", hint="use more than 0")


ANYWHERE = Resources()  # one worker per core, on this machine


def count_workers(plan: "Plan", where: Resources, report: Report = ignore) -> int | None:
    """Return how many workers to start: as requested, or one worker per core (or GPU), as far as memory allows.

    None means as many as a cluster has room for, as its nodes join and leave, where no number was requested.
    """
    if where.workers is not None:
        return where.workers
    if where.address is not None:
        return None
    if plan.spec.device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    cores = max(1, resources.cores() // plan.spec.threads)
    memory = max(1, resources.available_memory() // plan.worker_bytes)
    if memory < cores:
        report(
            Notice(f"{counted(memory, 'worker')} instead of {cores}: each needs some {plan.worker_bytes / 1e9:.1f} GB")
        )
    return min(cores, memory)
