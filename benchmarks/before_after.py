"""Two installs of kotovec side by side: the demo's build, its encode phase, memory and floor ratio, and a cold query.

    python benchmarks/before_after.py OLD/.venv/bin/python NEW/.venv/bin/python --rounds 5

Both need the demo's weights. What a change may cost is promised: 3 % of the build and of its encode phase, nothing of
memory or of a query. The floor is that of encode.py, the matrix products alone, in the same rounds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import checkpoints
import psutil
from encode import peer
from memory import proportional_bytes
from turns import (
    Measured,
    Promise,
    digits,
    find_kotovec,
    median,
    print_measured,
    print_promises,
    ratio,
    take_turns,
    write,
)

MAIN = "from kotovec.cli.app import main; main()"
COUNT = """
import json
from importlib.util import find_spec
from pathlib import Path
names = ("cluster", "workers", "store", "cli")
folders = {name: Path(find_spec(f"kotovec.{name}").origin).parent for name in names}
files = {name: folder.rglob("*.py") for name, folder in folders.items()}
texts = {name: [path.read_text(encoding="utf-8") for path in paths] for name, paths in files.items()}
print(json.dumps({name: sum(text.count(chr(10)) for text in found) for name, found in texts.items()}))
"""
LOOK_SECONDS = 0.25
LONGER, MORE = 1.03, 1.02  # the build as a whole; memory, of which the kernel's share differs by as much by itself


def main() -> int:
    """Measure both and print what holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="Python of the install to compare with")
    parser.add_argument("after", type=Path, help="Python of the install to judge")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    pythons = {"before": options.before, "after": options.after}
    find_kotovec()
    with tempfile.TemporaryDirectory() as folder:
        builds = {
            name: partial(build, python, Path(folder, f"{name}.kotovec"), options.workers)
            for name, python in pythons.items()
        }
        floor = {"floor": peer("floor", checkpoints.find("minilm", Path(folder)))}
        measured = take_turns(builds | floor, options.rounds)
        queries = {name: partial(query, python, Path(folder, f"{name}.kotovec")) for name, python in pythons.items()}
        asked = take_turns(queries, 4 * options.rounds, warm_up=2)
    return report(measured, asked, lines(options.before), lines(options.after))


def lines(python: Path) -> dict[str, int]:
    """Return how many lines of Python the packages of an install have."""
    done = subprocess.run([python, "-P", "-c", COUNT], stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout))


def size_note(before: dict[str, int], after: dict[str, int]) -> str:
    """Return the sentence about lines."""
    parts = [f"{name}/ {count:,} and {after[name]:,}" for name, count in before.items()]
    return f"Lines of Python before and after: {', '.join(parts)}."


def report(measured: Measured, asked: Measured, before: dict[str, int], after: dict[str, int]) -> int:
    """Print tables and promises, write the file; return 1 if a promise does not hold."""
    for name in ("whole", "encode", "rate", "peak"):
        print_measured(measured, name)
    print_measured(asked, "cold", title="cold query")
    promises = [
        Promise("the whole build", *both(measured, "whole"), at_most=LONGER, unit="s"),
        Promise("its encode phase", *both(measured, "encode"), at_most=LONGER, unit="s"),
        Promise("its peak of memory", *both(measured, "peak"), at_most=MORE, unit="MB"),
        Promise("a cold query", *both(asked, "cold"), at_most=LONGER, unit="s"),
    ]
    floor = median(measured, "floor", "rate")
    rates = {name: median(measured, name, "rate") for name in ("before", "after")}
    notes = [
        f"Of the floor's {digits(floor)} tokens/s, encoding reaches "
        + " and ".join(f"{digits(rate)} {name} ({ratio(rate / floor)})" for name, rate in rates.items())
        + ".",
        size_note(before, after),
    ]
    queries = {f"query {name}": numbers for name, numbers in asked.items()}
    write("before_after", {**measured, **queries}, promises, notes=notes)
    print("\n".join(notes))
    return print_promises(promises)


def both(measured: dict[str, dict[str, list[float]]], name: str) -> tuple[float, float]:
    """Return the medians of a number, after and before."""
    return median(measured, "after", name), median(measured, "before", name)


def build(python: Path, store: Path, workers: int) -> dict[str, float]:
    """Build the demo once; return its seconds, those of the encode phase, its rate, and its peak of memory in MB."""
    command = [
        python,
        "-P",  # or the sources in the working directory would run, not those that are installed
        "-c",
        MAIN,
        "build",
        "demo",
        "--store",
        store,
        "--workers",
        str(workers),
        "--overwrite",
        "--json",
    ]
    begin, most = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        whole = psutil.Process(process.pid)
        while process.poll() is None:
            most = max(most, sum(map(size_of, [whole, *whole.children(recursive=True)])))
            time.sleep(LOOK_SECONDS)
        out = process.stdout.read() if process.stdout else ""
    whole, summary = time.monotonic() - begin, json.loads(out)
    encode = summary["seconds"]["encode"]
    return {"whole": whole, "encode": encode, "rate": summary["tokens"] / encode, "peak": most / 1e6}


def size_of(process: psutil.Process) -> int:
    """Return a process' proportional set size; 0 where it has just ended."""
    try:
        return proportional_bytes(process)
    except psutil.Error:
        return 0


def query(python: Path, store: Path) -> dict[str, float]:
    """Ask once, in a process of its own."""
    begin = time.perf_counter()
    command = [python.parent / "kotovec", "query", "king - man + woman", "--store", store]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return {"cold": time.perf_counter() - begin}


if __name__ == "__main__":
    sys.exit(main())
