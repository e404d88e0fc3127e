"""What all benchmarks share: runs that take turns, their medians and spread, promises, and a file of results.

    measured = take_turns({"ours": run_ours, "theirs": run_theirs}, rounds=5)
    print_measured(measured, "seconds")
    promises = [Promise("a cold query", median(measured, "ours"), median(measured, "theirs"), at_most=1.3)]
    write("query", measured, promises)
    sys.exit(print_promises(promises))

A measure is a function that does its work once and returns its numbers by name, `{"seconds": 1.2}`. The measures take
turns (A B C … A B C …), so that whatever else the machine does falls on all of them.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]  # uninstalled, kotovec is found from here
RESULTS = Path(__file__).parent / "results"
KOTOVEC = [sys.executable, "-c", "from kotovec.cli.app import main; main()"]  # what the console script does
PACKAGES = """
torch transformers tokenizers safetensors ray faiss-cpu faiss-gpu faiss-gpu-cuvs numpy h5py
model2vec sentence-transformers gensim pyarrow
"""
# Of the processor's flags, those that decide how fast a matrix product is.
FLAGS = "avx2 fma avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_bf16 amx_fp16 asimd bf16 sve"

Measure = Callable[[], Mapping[str, float]]
Measured = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Spread:
    """Where the middle of some numbers lies, and how far they reach; quartiles as numpy's percentile gives them."""

    median: float
    low: float
    high: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Spread":
        """Return the spread of one number or more."""
        low, median, high = (
            statistics.quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else [numbers[0]] * 3
        )
        return cls(median, low, high, min(numbers), max(numbers), len(numbers))


@dataclass(frozen=True)
class Promise:
    """A number that is promised, alone or over another one: at most, or at least, so much.

    Attributes:
        text: what is compared with what.
        ours: the number, or what is divided.
        other: what it is divided by; None where the number itself is promised.
        at_most: the bound from above, or None.
        at_least: the bound from below, or None.
        unit: of both numbers.
    """

    text: str
    ours: float
    other: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "s"

    @property
    def value(self) -> float:
        """What is held against the bound."""
        return self.ours if self.other is None else self.ours / self.other

    @property
    def holds(self) -> bool:
        """Whether the value is within its bounds; a value that is no number is not."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def __str__(self) -> str:
        """One line with both numbers."""
        unit = f" {self.unit}" if self.unit else ""
        numbers = f"{digits(self.ours)}{unit}"
        if self.other is not None:
            numbers += f" / {digits(self.other)}{unit} = {ratio(self.value)}"
        bounds = [
            f"{word} {bound:g}{unit if self.other is None else ''}"
            for word, bound in (("at least", self.at_least), ("at most", self.at_most))
            if bound is not None
        ]
        said = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.text}: {numbers}, promised {' and '.join(bounds)}: {said}"


def find_kotovec() -> None:
    """Let this process, and those that come of it, find kotovec where it is not installed; and ask no hub."""
    if importlib.util.find_spec("kotovec") is None:
        sys.path.insert(0, str(ROOT))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ["HF_HUB_OFFLINE"] = "1"


def take_turns(measures: Mapping[str, Measure], rounds: int, *, warm_up: int = 0, quiet: bool = False) -> Measured:
    """Run each measure once per round, in order; return label → name of a number → its values, one per round.

    Args:
        measures: by label.
        rounds: how often each runs.
        warm_up: rounds before them that are not counted: they warm the disk's cache.
        quiet: nothing on stderr, which otherwise prints every number as it comes.
    """
    measured: Measured = {label: {} for label in measures}
    for number in range(-warm_up, rounds):
        for label, measure in measures.items():
            numbers = measure()
            if not quiet:
                shown = "  ".join(f"{name} {digits(value)}" for name, value in numbers.items())
                print(f"round {number + 1}/{rounds}  {label:28}{shown}", file=sys.stderr, flush=True)
            if number >= 0:
                for name, value in numbers.items():
                    measured[label].setdefault(name, []).append(float(value))
    return measured


def process(words: Sequence[str | os.PathLike[str]], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command; return what it wrote on stdout. What it says on stderr is shown only where it fails."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stderr[-4000:]}\n{' '.join(map(str, words))}\nexited with {done.returncode}")
    return done.stdout


def whole_process(words: Sequence[str | os.PathLike[str]], *, cwd: Path = ROOT) -> Measure:
    """Return a measure that runs a command and gives the `seconds` of its whole process, from outside."""

    def run() -> dict[str, float]:
        begin = time.perf_counter()
        process(words, cwd=cwd)
        return {"seconds": time.perf_counter() - begin}

    return run


def call(function: Callable[[], object]) -> Measure:
    """Return a measure that calls a function in this process and gives the `seconds` of it."""

    def run() -> dict[str, float]:
        begin = time.perf_counter()
        function()
        return {"seconds": time.perf_counter() - begin}

    return run


def median(measured: Measured, label: str, name: str = "seconds") -> float:
    """Return the median of a measure's number."""
    return Spread.of(measured[label][name]).median


def digits(value: float) -> str:
    """Return a number with some four digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def ratio(value: float) -> str:
    """Return a ratio with two decimals; of a small one two digits."""
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def print_measured(measured: Measured, name: str = "seconds", *, title: str = "") -> None:
    """Print median, quartiles, least and most of one number of every measure that has it."""
    rows = {label: Spread.of(numbers[name]) for label, numbers in measured.items() if name in numbers}
    wide = max(map(len, [*rows, title or name])) + 2
    rounds = max((spread.rounds for spread in rows.values()), default=0)
    print(f"{title or name:{wide}}{'median':>12}{'quartiles':>24}{'least':>12}{'most':>12}   {rounds} rounds")
    for label, spread in rows.items():
        between = f"{digits(spread.low)} … {digits(spread.high)}"
        print(f"{label:{wide}}{digits(spread.median):>12}{between:>24}", end="")
        print(f"{digits(spread.least):>12}{digits(spread.most):>12}")
    print()


def print_promises(promises: Sequence[Promise]) -> int:
    """Print each promise with both of its numbers; return 1 if one does not hold, else 0."""
    for promise in promises:
        print(promise)
    return 0 if all(promise.holds for promise in promises) else 1


def write(
    name: str,
    measured: Measured,
    promises: Sequence[Promise] = (),
    *,
    folder: Path = RESULTS,
    **more: Any,
) -> Path:
    """Write `NAME.json`: every number, the promises, and on what they were measured; return its path.

    Args:
        name: of the file, and of the comparison.
        measured: as `take_turns` gives it.
        promises: as `print_promises` prints them.
        folder: where the file goes.
        more: further entries, ready for JSON; `notes`, a list of sentences, stand under the table in docs/speed.md.
    """
    spreads = {
        label: {number: asdict(Spread.of(values)) | {"values": values} for number, values in numbers.items()}
        for label, numbers in measured.items()
    }
    kept = [asdict(promise) | {"value": promise.value, "holds": promise.holds} for promise in promises]
    record = {
        "name": name,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "measured": spreads,
        "promises": kept,
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """Return the processor, the cores this process may use, memory, the instruction set, and the load just now."""
    described: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            described[key.strip()] = value.strip()
    flags = set(described.get("flags", described.get("Features", "")).split())
    return {
        "cpu": described.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "instruction_set": [flag for flag in FLAGS.split() if flag in flags],
        "system": platform.platform(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Return the version of Python and of every package that is measured, and the commit of the checkout."""
    find_kotovec()
    from kotovec.version import __version__

    found = {"python": platform.python_version(), "kotovec": __version__}
    for package in PACKAGES.split():
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found | ({"commit": commit.stdout.strip()} if commit.returncode == 0 else {})
