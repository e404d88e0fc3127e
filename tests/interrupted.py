"""Builds that end too early: interrupted after some shards, or killed at a point of their end."""

import os
import subprocess
import sys

import pytest

from kotovec.cluster.build import Resources, build

from rays import CHECKOUT

# Builds in processes that are killed at a point of the build; all shards are there, so that Ray is not needed.
KILLED = """
import os, signal, sys
from pathlib import Path
from kotovec.cluster import build, job
from kotovec.cluster.plan import Request, make_plan
from kotovec.store import folder, writer

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(owner, name):
    real = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **options: (real(*arguments, **options), die()))

points = {
    "encoded": lambda: (setattr(build, "copy_table", die), setattr(job, "merge", die)),
    "copied": lambda: die_after(build, "copy_table"),
    "merging": lambda: die_after(writer.SpaceWriter, "add"),
    "merging the second": lambda: die_after(job, "merge"),
    "merged": lambda: setattr(folder, "delete_shards", die),
    "indexing": lambda: die_after(build.indexes, "build"),
    "indexed": lambda: setattr(folder, "swap", die),
    "swapped": lambda: die_after(folder, "_exchange"),
}
plan = make_plan(Request(model=sys.argv[1], shard_tokens=64, device="cpu", layers=sys.argv[3]))
for point in sys.argv[4:]:
    child = os.fork()
    if child == 0:
        points[point]()
        build.build(plan, Path(sys.argv[2]) / point / "x.kotovec", overwrite=sys.argv[2].endswith("overwrite"))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(point, "killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else status)
"""


class Interrupted(BaseException):
    """Raised in the place of Ctrl-C, where a test wants it."""


def begin(plan, store, shards, **options):
    """Begin a build and interrupt it after so many shards."""

    def stop(event):
        if getattr(event, "done", 0) >= plan.shards[shards - 1].stop:
            raise Interrupted

    with pytest.raises(Interrupted):
        build(plan, store, Resources(workers=1), report=stop, **options)


def kill_at(points, root, plan):
    """Kill a build in each of the folders `root/POINT`, at its point."""
    environment = os.environ | ({"PYTHONPATH": str(CHECKOUT)} if CHECKOUT else {})
    command = [sys.executable, "-c", KILLED, str(plan.model.source.folder), str(root), plan.settings["layers"], *points]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n")[:-1] == [f"{point} killed" for point in points]
