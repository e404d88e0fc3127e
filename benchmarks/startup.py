"""How long the command line takes to start, against the bare imports that it cannot do without.

    python benchmarks/startup.py [--store PATH] [--rounds N]

Every command is a process of its own, as a person would start it; the commands take turns (A B C … A B C …), so
that whatever else the machine does falls on all of them. A ratio is the median of one command's times over the
median of the other's. Exits 1 if a promise does not hold:

- a cold `kotovec query` takes at most twice as long as importing numpy, h5py, faiss, typer and rich.table,
- `kotovec --help` at most twice as long as importing typer and rich.table.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]  # uninstalled, kotovec is found from here
MOST = 2.0  # times the bare imports
TOKENS, DIMENSIONS = 32_000, 768  # as large as the Japanese vocabulary of a BERT-base
KOTOVEC = [sys.executable, "-c", "from kotovec.cli.app import main; main()"]  # what the console script does


@dataclass(frozen=True)
class Command:
    """A command that is timed, and the one whose time it is held against, if any."""

    label: str
    words: list[str]
    against: str | None = None


def main() -> int:
    """Time everything and print it; return 0 if the promises hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store [a synthetic one of 32,000 x 768, made anew]")
    parser.add_argument("--expression", help="what is asked [tokens of the synthetic store]")
    parser.add_argument("--rounds", type=int, default=15, help="how often each command runs [15]")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if (options.store is None) != (options.expression is None):
        parser.error("--store and --expression go together")
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or make_store(Path(folder) / "synthetic.kotovec")
        commands = what_is_timed(store, options.expression or "t100 - t200 + t300")
        times = take_turns(commands, options.rounds)
    return report(commands, times)


def what_is_timed(store: Path, expression: str) -> list[Command]:
    """Return the commands: two sets of imports, and what is promised against them."""
    python = [sys.executable, "-c"]
    query = [*KOTOVEC, "query", "--store", str(store.resolve())]
    return [
        Command("imports of a query", [*python, "import numpy, h5py, faiss, typer, rich.table"]),
        Command("kotovec query", [*query, expression], "imports of a query"),
        Command("imports of the help", [*python, "import typer, rich.table"]),
        Command("kotovec --help", [*KOTOVEC, "--help"], "imports of the help"),
    ]


def make_store(folder: Path) -> Path:
    """Write a store of random vectors, with its two default indexes, through kotovec's own functions."""
    import json
    import shutil

    import numpy as np

    from kotovec.store import index
    from kotovec.store.layout import Layout
    from kotovec.store.merge import Shape, merge
    from kotovec.store.nearest import Metric
    from kotovec.store.shard import Shard, write_shard
    from kotovec.store.tokens import Marking, describe
    from kotovec.store.vectors import Vectors

    layout, rng = Layout(folder), np.random.default_rng(0)
    tokens = describe(range(TOKENS), [f"t{n}" for n in range(TOKENS)], frozenset(), Marking.WORDPIECE)
    layout.shards.mkdir(parents=True)
    bounds = [(start, min(start + 4096, TOKENS)) for start in range(0, TOKENS, 4096)]
    for number, (start, stop) in enumerate(bounds):
        static = rng.standard_normal((stop - start, DIMENSIONS), dtype=np.float32)
        shard = Shard(number, tokens.ids[start:stop], static, static[np.newaxis], "here", "any")
        write_shard(layout.shards, shard, "0")
    origin = {"settings": "{}", "versions": json.dumps({"numpy": np.__version__})}
    merge(layout.vectors, layout.shards, Shape(bounds, [12], "float32"), tokens, "0", origin)
    shutil.rmtree(layout.shards)
    for space in ("static", "isolated"):
        index.build(Vectors(layout.vectors), layout.indexes, space, -1, Metric.L2)
    return folder


def take_turns(commands: list[Command], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each command, one a round; a round before them warms the disk's cache and is lost."""
    times: dict[str, list[float]] = {command.label: [] for command in commands}
    for number in range(-1, rounds):
        for command in commands:
            begin = time.perf_counter()
            subprocess.run(command.words, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            if number >= 0:
                times[command.label].append(time.perf_counter() - begin)
    return times


def report(commands: list[Command], times: dict[str, list[float]]) -> int:
    """Print medians, quartiles and ratios; return 1 if a promise does not hold."""
    medians = {label: statistics.median(seconds) for label, seconds in times.items()}
    broken = 0
    print(f"{'':22}{'median':>9}{'quartiles':>20}{'least':>9}   seconds, {len(times[commands[0].label])} rounds")
    for command in commands:
        seconds = times[command.label]
        low, _, high = statistics.quantiles(seconds, n=4)
        spread = f"{low:.3f} … {high:.3f}"
        print(f"{command.label:22}{medians[command.label]:9.3f}{spread:>20}{min(seconds):9.3f}")
    for command in commands:
        if command.against is not None:
            mine, theirs = medians[command.label], medians[command.against]
            held = mine <= MOST * theirs
            broken += not held
            said = "holds" if held else "DOES NOT HOLD"
            print(
                f"{command.label}: {mine:.3f} s / {theirs:.3f} s ({command.against}) = {mine / theirs:.2f}, "
                f"promised at most {MOST:g}: {said}"
            )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
