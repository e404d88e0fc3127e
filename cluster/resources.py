"""The cores and the memory that this process may use, container limits included.

A container's limits are those of the process's control group and of every group above it, in version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html) or version 1 (…/cgroup-v1/memory.html) of the interface.
Without control groups, as on macOS, the numbers of the machine apply.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

_GROUPS = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return how many cores this process may use (affinity and cgroup quota, rounded down, at least 1)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _folders(""):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        allowed = _least_cores(allowed, quota, period)
    for folder in _folders("cpu"):
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        allowed = _least_cores(allowed, quota, period)
    return max(1, allowed)


def available_memory() -> int:
    """Return how many bytes of memory this process may still use; the page cache counts as free."""
    available = int(psutil.virtual_memory().available)
    for folder in _folders(""):
        limit, used = _read(folder / "memory.max"), _read(folder / "memory.current")
        available = _least_memory(available, limit, used, _cached(folder, "inactive_file"))
    for folder in _folders("memory"):
        limit, used = _read(folder / "memory.limit_in_bytes"), _read(folder / "memory.usage_in_bytes")
        available = _least_memory(available, limit, used, _cached(folder, "total_inactive_file"))
    return max(0, available)


def cluster_gpus() -> float:
    """Return how many GPUs the joined cluster has; 0 where this process has not joined one."""
    ray: Any = sys.modules.get("ray")
    return float(ray.cluster_resources().get("GPU", 0)) if ray is not None and ray.is_initialized() else 0.0


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of those above it; version 1 has one tree per controller.

    Inside a container the path may be that of the host, and the container's own group the root of the tree. A file
    that does not exist counts as no limit.
    """
    root = _ROOT / controller
    yield root
    for line in _read(_GROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            for part in path.split("/"):
                if part not in ("", ".."):
                    root /= part
                    yield root


def _least_cores(allowed: int, quota: str, period: str) -> int:
    if quota.isdigit() and period.isdigit() and int(period):
        return min(allowed, int(quota) // int(period))
    return allowed  # "max", or -1 in version 1


def _least_memory(available: int, limit: str, used: str, cached: int) -> int:
    if limit.isdigit() and used.isdigit():
        return min(available, int(limit) - max(0, int(used) - cached))
    return available


def _cached(folder: Path, name: str) -> int:
    """Return the bytes of cached files that can be dropped, as `kubectl top` computes them."""
    values = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
    return int(values.get(name, 0))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
