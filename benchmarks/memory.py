"""Peak memory of a whole build: proportional set size over all of its processes, shared memory counted once.

    python benchmarks/memory.py [--workers 2] [--promise 6.0]
    python benchmarks/memory.py --workers 1,2,4,8

Builds the full 32,000-token Japanese vocabulary with a seeded, random BERT-base (the memory and the speed are
those of the real model; the meaning is not). A page that n processes share counts as an n-th in each of them, so the
sum is what the machine gave. Exits 1 if a promise does not hold:

- a build with 2 workers stays within 6 GB;
- a further worker, (workers' peak with n - workers' peak with 1) / (n - 1), costs no more than a process that
  imports torch and does nothing else, plus half of the model's weights. Such a process is measured in the same run.

Whatever else on the machine has torch from the same files makes both of the latter smaller. With several numbers of
workers the results go to benchmarks/results/memory.json.
"""

import argparse
import contextlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import checkpoints
import psutil
from turns import KOTOVEC, RESULTS, Promise, find_kotovec, print_promises, write

SAMPLE_SECONDS = 0.25
WORKER = "ray::Encoder"
PROMISED_WORKERS = 2  # with which the whole build is promised to stay within --promise
TORCHES = 4  # processes that import torch at once, for what a further one of them costs


@dataclass(frozen=True)
class Peak:
    """What a build took at most.

    Attributes:
        workers: how many.
        seconds: of the whole process.
        total: bytes of all processes at once, at most.
        parts: bytes by kind of process at that moment.
        crew: bytes of the workers alone, at their own peak: they are gone when the store is merged.
        summary: what the build says of itself.
    """

    workers: int
    seconds: float
    total: int
    parts: dict[str, int]
    crew: int
    summary: dict[str, Any]


def main() -> int:
    """Build, watch, print; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2", help="numbers of workers, such as 1,2,4,8 [2]")
    parser.add_argument("--promise", type=float, default=6.0, help="GB that the peak with 2 workers stays within [6]")
    parser.add_argument("--model", default="bert-base", choices=checkpoints.NAMES, help="[bert-base]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the file of results")
    options = parser.parse_args()
    counts = sorted({int(count) for count in options.workers.split(",")})
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-memory-") as name:
        folder = Path(name)
        model = in_a_process_of_its_own(options.model, folder)
        weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        torches = {count: importing_torch(count) for count in (1, TORCHES)} if len(counts) > 1 else {}
        peaks = {count: watch_build(model, folder / "store.kotovec", count) for count in counts}
    for peak in peaks.values():
        print_peak(peak)
    promises = promised(peaks, torches, weights, options.promise)
    if torches:
        print_crews(peaks)
        note = (
            f"A process that imports torch takes {torches[1] / 1e6:,.0f} MB alone, each further of {TORCHES} "
            f"{further(torches, TORCHES) / 1e6:,.0f} MB; the weights are {weights / 1e6:,.0f} MB."
        )
        measured = {f"{count} workers": numbers(peak) for count, peak in peaks.items()}
        measured |= {f"{count} x import torch": {"peak": [size / 1e6]} for count, size in torches.items()}
        parts = {str(count): peak.parts for count, peak in peaks.items()}
        path = write("memory", measured, promises, folder=options.results, weights=weights, parts=parts, notes=[note])
        print(f"{note}\nwritten: {path}")
    return print_promises(promises)


def in_a_process_of_its_own(name: str, folder: Path) -> Path:
    """Return a model's folder; torch is not imported here: whoever shares its pages makes a worker look smaller."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(checkpoints.find, name, folder).result()


# What is measured


def proportional_bytes(process: psutil.Process) -> int:
    """Return a process's proportional set size; 0 where it has just ended."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)


def name_of(process: psutil.Process) -> str:
    """Return what a process is, in a few letters."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return "ended"
    known = (WORKER, "ray::IDLE", "gcs_server", "raylet/raylet", "dashboard", "monitor", "kotovec")
    return next((name for name in known if name in line), line[:40])


def watch_build(model: Path, store: Path, workers: int) -> Peak:
    """Build a store, and look at the memory of all its processes meanwhile; the store is left to the next one."""
    words = [*KOTOVEC, "build", str(model), "--store", str(store), "--overwrite", "--device", "cpu"]
    begin = time.monotonic()
    total, parts, crew = 0, {}, 0
    command = [*words, "--workers", str(workers), "--quiet", "--json"]
    with subprocess.Popen(command, cwd=store.parent, stdout=subprocess.PIPE, text=True) as child:
        root = psutil.Process(child.pid)
        while child.poll() is None:
            sizes: dict[str, int] = {}
            with contextlib.suppress(psutil.Error):  # it has just ended
                for process in (root, *root.children(recursive=True)):
                    name = name_of(process)
                    sizes[name] = sizes.get(name, 0) + proportional_bytes(process)
            crew = max(crew, sizes.get(WORKER, 0))
            if sum(sizes.values()) > total:
                total, parts = sum(sizes.values()), sizes
            time.sleep(SAMPLE_SECONDS)
        output = child.stdout.read() if child.stdout else ""
    if child.returncode:
        sys.exit(f"{' '.join(command)} exited with {child.returncode}")
    if not crew:
        sys.exit(f"no process was called {WORKER}: what the workers take is not known")
    return Peak(workers, time.monotonic() - begin, total, parts, crew, json.loads(output))


def importing_torch(count: int) -> int:
    """Return the bytes of so many processes together, that have imported torch and do nothing else."""
    command = [sys.executable, "-c", "import torch; print('up', flush=True); input()"]
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(count)
        ]
        for child in children:
            if child.stdout is None or child.stdout.readline() != "up\n":
                sys.exit("torch does not import")
        size = sum(proportional_bytes(psutil.Process(child.pid)) for child in children)
        for child in children:
            child.communicate("\n")
    return size


# What it says


def further(sizes: Mapping[int, int], count: int) -> float:
    """Return what each further one cost: of `count` of them, all but the first."""
    return (sizes[count] - sizes[1]) / (count - 1)


def promised(peaks: Mapping[int, Peak], torches: Mapping[int, int], weights: int, gigabytes: float) -> list[Promise]:
    """Return the promises that these peaks can be held against."""
    found = []
    if PROMISED_WORKERS in peaks:
        text = f"all processes of a build with {PROMISED_WORKERS} workers"
        found.append(Promise(text, peaks[PROMISED_WORKERS].total / 1e6, at_most=gigabytes * 1e3, unit="MB"))
    if 1 in peaks and torches:
        crews = {count: peak.crew for count, peak in peaks.items()}
        allowed = (torches[1] + weights / 2) / 1e6
        for count in [count for count in crews if count > 1]:
            text = f"a further worker of {count}, over importing torch plus half of the weights"
            found.append(Promise(text, further(crews, count) / 1e6, allowed, at_most=1.0, unit="MB"))
    return found


def numbers(peak: Peak) -> dict[str, list[float]]:
    """Return a peak's numbers as a file of results keeps them; MB and seconds."""
    phases = {phase: [float(seconds)] for phase, seconds in peak.summary["seconds"].items()}
    return {"peak": [peak.total / 1e6], "workers": [peak.crew / 1e6], "whole": [peak.seconds]} | phases


def print_peak(peak: Peak) -> None:
    """Print what a build took, and its parts at the peak."""
    summary = peak.summary
    print(f"{summary['tokens']:,} tokens, {peak.workers} workers, {peak.seconds:.0f} s as a whole")
    print("phases: " + ", ".join(f"{phase} {value:.1f} s" for phase, value in summary["seconds"].items()))
    for part, size in sorted(peak.parts.items(), key=lambda item: -item[1]):
        print(f"{size / 1e6:10,.0f} MB  {part}")
    print(f"{peak.total / 1e6:10,.0f} MB  peak of all processes")
    print(f"{peak.crew / 1e6:10,.0f} MB  peak of the workers alone\n")


def print_crews(peaks: Mapping[int, Peak]) -> None:
    """Print the table of numbers of workers, and what each further one cost."""
    totals = {count: peak.total for count, peak in peaks.items()}
    crews = {count: peak.crew for count, peak in peaks.items()}
    print(f"{'workers':>8}{'all processes':>16}{'further worker':>16}{'workers alone':>16}{'further worker':>16}   MB")
    for count in peaks:
        print(f"{count:8}", end="")
        for sizes in (totals, crews):
            more = f"{further(sizes, count) / 1e6:,.0f}" if count > 1 and 1 in sizes else ""
            print(f"{sizes[count] / 1e6:16,.0f}{more:>16}", end="")
        print()
    print()


if __name__ == "__main__":
    sys.exit(main())
