"""The faiss library: which of its wheels is installed, its GPUs, its threads, and its names for metrics."""

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from kotovec.errors import InputError, MissingDependencyError, choices, quoted
from kotovec.store.metric import Metric

DEVICES = ("auto", "cpu", "cuda")
WHEELS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs", "faiss-gpu-cu12", "faiss-gpu-cu11")


def import_faiss() -> Any:
    """Return the module faiss.

    Raises:
        MissingDependencyError: none of its wheels is installed, two are, or the installed one does not load.
    """
    installed = [name for name in WHEELS if _is_installed(name)]
    if len(installed) > 1:
        raise MissingDependencyError(
            f"{' and '.join(installed)} are both installed and overwrite each other",
            hint=f"run pip uninstall -y {' '.join(installed)}, then pip install --force-reinstall the one you want",
        )
    try:
        import faiss
    except (ImportError, RuntimeError, OSError) as error:
        on_gpu = "with a GPU: 'kotovec[gpu]' for CUDA 12, 'kotovec[gpu-cu13]' for CUDA 13"
        hint = f"install it: pip install 'kotovec[cpu]' ({on_gpu})"
        problem = f"does not load ({error})" if installed else "is not installed"
        raise MissingDependencyError(f"faiss {problem}", hint=hint) from error
    _prepare_forks()
    return faiss


@cache
def _prepare_forks() -> None:
    """Let faiss use one thread in processes that are forked from this one.

    libgomp keeps its threads for the next search, and a forked process lacks them: it would wait for them for ever.
    """
    import faiss

    os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))


def _is_installed(name: str) -> bool:
    return name in _distributions()


@cache
def _distributions() -> frozenset[str]:
    """Return the names of the installed faiss wheels, from the metadata folders that pip wrote.

    importlib.metadata reads more, but imports email, sockets and zip files: 14 ms of a query's 250 ms.
    """
    found = set()
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            found |= {
                entry.name.partition("-")[0].replace("_", "-").lower()
                for entry in entries
                if entry.name.startswith("faiss") and entry.name.endswith((".dist-info", ".egg-info"))
            }
    return frozenset(found)


def gpus() -> int:
    """Return how many GPUs faiss can use; 0 with faiss-cpu."""
    return int(import_faiss().get_num_gpus())


def check_device(device: str) -> None:
    """Refuse a device that is none of `DEVICES`, whether torch or faiss would use it.

    Raises:
        InputError: the device is unknown.
    """
    if device not in DEVICES:
        raise InputError(f"unknown device {quoted(device)}", hint=f"choose {choices(DEVICES)}")


def choose_device(device: str, *, many: bool) -> str:
    """Return `cpu` or `cuda`; for `auto`, a GPU if there is one and the work is large.

    Raises:
        InputError: the device is unknown.
    """
    check_device(device)
    if device == "auto":
        return "cuda" if many and gpus() else "cpu"
    return device


def check_gpus() -> None:
    """Check that faiss sees a GPU.

    Raises:
        InputError: it sees none.
    """
    if gpus() == 0:
        raise InputError("faiss sees no GPU", hint="use --device cpu, or install the extra `gpu` or `gpu-cu13`")


def on_gpus(index: Any) -> Any:
    """Return a copy of an index on all GPUs.

    Raises:
        InputError: faiss sees no GPU.
    """
    faiss = import_faiss()
    check_gpus()
    return faiss.index_cpu_to_all_gpus(index)


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Run faiss (and torch, if it is in this process: they share OpenMP) on one thread within the block."""
    faiss = import_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def reason(error: BaseException) -> str:
    """Return what faiss says in the last part of its message, after the function and the line of its source."""
    return str(error).rsplit(":", 1)[-1].strip() or "unknown"


def kind(faiss: Any, metric: Metric) -> Any:
    """Return faiss' constant for a metric; cosine is the inner product of vectors of length 1."""
    return faiss.METRIC_L2 if metric.is_distance else faiss.METRIC_INNER_PRODUCT
