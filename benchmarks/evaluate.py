"""How long analogies take, and in how much memory: Google's 19,544 questions, of random vectors for all their words.

    python benchmarks/evaluate.py [--rows 32000,250000] [--dimensions 768] [--measures 3cosadd,all]

The vectors are written as .npy, imported by `kotovec convert` (250,000 x 768 take 0.8 GB of a temporary folder, twice)
and asked by `kotovec evaluate`, a process of its own each time. Prints its seconds and its peaks of memory: of what it
allocated, and of all that is resident, which the pages of the mapped store are part of. Exits 1 if a promise does not
hold:

- among 32,000 rows, 3CosAdd and Only-b beside it take 20 seconds of processors at most: 10 on two that are free;
- among any number of rows, what is allocated stays within 2.5 GB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from turns import KOTOVEC, Promise, find_kotovec, print_promises, write

from kotovec.store.evaluation.datasets import load_analogies

GROUP = 10_000  # rows that are drawn at a time
SAMPLE_SECONDS = 0.05
PROMISED_ROWS, SECONDS, MEGABYTES = 32_000, 20.0, 2500.0


@dataclass
class Peak:
    """What a process took: seconds, those of its processors, and MB at most."""

    seconds: float = 0.0
    processors: float = 0.0
    allocated: float = 0.0
    resident: float = 0.0


def main() -> int:
    """Write, import, ask; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="32000,250000", help="[32000,250000]")
    parser.add_argument("--dimensions", type=int, default=768, help="[768]")
    parser.add_argument("--measures", default="3cosadd,all", help="beside Only-b [3cosadd,all]")
    options = parser.parse_args()
    find_kotovec()
    measured, promises = {}, []
    print("| rows | measure | seconds | of processors | MB allocated | MB resident |\n|---|---|---|---|---|---|")
    for rows in map(int, options.rows.split(",")):
        with tempfile.TemporaryDirectory(prefix="kotovec-evaluate-") as name:
            store = make_store(Path(name), rows, options.dimensions)
            for measure in options.measures.split(","):
                words = ["evaluate", "analogies", "google", "--measure", measure, "--store", str(store), "--json"]
                peak = watch([*KOTOVEC, *words])
                numbers = f"{peak.seconds:.1f} | {peak.processors:.1f} | {peak.allocated:,.0f} | {peak.resident:,.0f}"
                print(f"| {rows:,} | {measure} | {numbers} |", flush=True)
                label = f"{measure} among {rows:,} rows"
                measured[label] = {name: [value] for name, value in asdict(peak).items()}
                promises.append(Promise(f"{label}, allocated", peak.allocated, at_most=MEGABYTES, unit="MB"))
                if rows == PROMISED_ROWS and measure == "3cosadd":
                    promises.append(Promise(f"{label}, of processors", peak.processors, at_most=SECONDS))
    write("evaluate", measured, promises)
    return print_promises(promises)


def make_store(folder: Path, rows: int, dimensions: int) -> Path:
    """Return a store of random vectors, which has the words of Google's questions among its rows."""
    questions = [question for category in load_analogies("google") for question in category.questions]
    known = dict.fromkeys(word for each in questions for word in (each.a, each.a_star, each.b, *each.answers))
    texts = [*known, *(f"w{number}" for number in range(rows - len(known)))]
    (folder / "random.words.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    array = np.lib.format.open_memmap(folder / "random.npy", "w+", np.float32, (rows, dimensions))
    random = np.random.default_rng(0)
    for start in range(0, rows, GROUP):
        part = array[start : start + GROUP]
        part[:] = random.standard_normal(part.shape, dtype=np.float32)
    array.flush()
    store = folder / "random.kotovec"
    subprocess.run([*KOTOVEC, "convert", str(folder / "random.npy"), str(store)], check=True, stdout=subprocess.DEVNULL)
    (folder / "random.npy").unlink()
    return store


def watch(command: list[str]) -> Peak:
    """Run a command; return what it took."""
    peak, begin, used = Peak(), time.monotonic(), processor_seconds()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            allocated, resident = memory_of(child.pid)
            peak.allocated, peak.resident = max(peak.allocated, allocated), max(peak.resident, resident)
            time.sleep(SAMPLE_SECONDS)
    peak.seconds, peak.processors = time.monotonic() - begin, processor_seconds() - used
    if child.returncode:
        sys.exit(f"{' '.join(command)} exited with {child.returncode}")
    return peak


def processor_seconds() -> float:
    """Return the seconds that processors worked for the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_of(process: int) -> tuple[float, float]:
    """Return how many MB of a process are allocated, and how many are resident; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {line.split(":")[0]: float(line.split()[1]) / 1000 for line in lines if line.startswith("Rss")}
    return sizes.get("RssAnon", 0.0), sum(sizes.values())


if __name__ == "__main__":
    sys.exit(main())
