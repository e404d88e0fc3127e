"""Time and memory of a map of a whole vocabulary, against the article's route: scikit-learn's TSNE.

    python benchmarks/map.py [--model bert-base] [--rounds 1]

Each is a process of its own, on the same static vectors of one store: 32,000 of 768 dimensions, or MiniLM's. The
article drew 3,000 tokens, because more was too heavy for it; here it has all of them, and all cores. Memory is the
largest resident set of a process, as the kernel counts it. Nothing is promised: these are numbers for docs/map.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import checkpoints
from memory import in_a_process_of_its_own
from turns import KOTOVEC, RESULTS, Measure, find_kotovec, print_measured, process, take_turns, write

ARTICLE = """
import sys
import h5py
from sklearn.manifold import TSNE
with h5py.File(sys.argv[1] + "/spaces/static.h5") as file:
    vectors = file["vectors"][:]
TSNE(n_components=2, n_jobs=-1).fit_transform(vectors)
"""


def main() -> int:
    """Build a store, draw it by each method in turn, print and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bert-base", choices=checkpoints.NAMES, help="[bert-base]")
    parser.add_argument("--rounds", type=int, default=1, help="[1]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the file of results")
    options = parser.parse_args()
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-map-") as name:
        store = Path(name) / "store.kotovec"
        # The kernel counts for a child what this process had when it was forked: torch is not imported here.
        model = in_a_process_of_its_own(options.model, Path(name))
        process([*KOTOVEC, "build", str(model), "--store", str(store), "--device", "cpu", "--quiet"])
        methods = {f"kotovec map --method {method}": method for method in ("umap", "tsne", "pca")}
        measures: dict[str, Measure] = {label: mapping(store, method) for label, method in methods.items()}
        measures["scikit-learn's TSNE"] = watched([sys.executable, "-c", ARTICLE, str(store)])
        measured = take_turns(measures, options.rounds)
    for number in ("seconds", "peak"):
        print_measured(measured, number)
    print(f"written: {write(f'map-{options.model}', measured, folder=options.results)}")
    return 0


def mapping(store: Path, method: str) -> Measure:
    """Return a measure that makes a new map."""
    run = watched([*KOTOVEC, "map", "--store", str(store), "--method", method, "--quiet"])

    def anew() -> dict[str, float]:
        shutil.rmtree(store / "maps", ignore_errors=True)
        return dict(run())

    return anew


def watched(words: Sequence[str]) -> Measure:
    """Return a measure that runs a command, and gives its `seconds` and the `peak` of its memory in MB."""

    def run() -> dict[str, float]:
        begin = time.perf_counter()
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{' '.join(words)} exited with {child.returncode}")
        scale = 1024 if sys.platform == "linux" else 1  # kilobytes there, bytes on macOS
        return {"seconds": time.perf_counter() - begin, "peak": used.ru_maxrss * scale / 1e6}

    return run


if __name__ == "__main__":
    sys.exit(main())
