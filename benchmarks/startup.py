"""How long the command line takes to start, against the bare imports that it cannot do without.

    python benchmarks/startup.py [--rounds N] [--store PATH --expression TEXT]

Every command is a process of its own, as a person would start it, and Python's compiled files are there, as after an
install. Exits 1 if a promise does not hold:

- a cold `kotovec query` takes at most 1.3 times as long as importing numpy, h5py, faiss, typer and rich.table,
- `kotovec --help` at most 1.5 times as long as importing typer and rich.table.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from turns import ROOT, Promise, find_kotovec, median, print_measured, print_promises, take_turns, whole_process, write

VOCABULARY = ROOT / "tests" / "data" / "bert-base-japanese-whole-word-masking"  # the article's: 32,000 tokens
DIMENSIONS = 768  # of a BERT-base
EXPRESSION = "王 - 男 + 女"
KOTOVEC = [sys.executable, "-P", "-c", "from kotovec.cli.entry import main; main()"]  # what the console script does
IMPORTS = [sys.executable, "-P", "-c", "import numpy, h5py, faiss, typer, rich.table"]
FEWEST = [sys.executable, "-c", "import typer, rich.table"]
QUERY, HELP = 1.3, 1.5  # times the bare imports, at most


def main() -> int:
    """Time everything and print it; return 0 if the promises hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a store [a synthetic one of 32,000 x 768, made again]")
    parser.add_argument("--expression", default=EXPRESSION, help=f"what is asked [{EXPRESSION}]")
    parser.add_argument("--rounds", type=int, default=15, help="how often each command runs [15]")
    options = parser.parse_args()
    find_kotovec()
    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        store = options.store or make_store(Path(folder) / "synthetic.kotovec")
        measures = {
            "imports of a query": whole_process(IMPORTS),
            "kotovec query": whole_process([*KOTOVEC, "query", "--store", store.resolve(), options.expression]),
            "imports of the help": whole_process(FEWEST),
            "kotovec --help": whole_process([*KOTOVEC, "--help"]),
        }
        measured = take_turns(measures, options.rounds, warm_up=1)
    promises = [
        Promise(f"{ours} / {imports}", median(measured, ours), median(measured, imports), at_most=most)
        for ours, imports, most in (
            ("kotovec query", "imports of a query", QUERY),
            ("kotovec --help", "imports of the help", HELP),
        )
    ]
    print_measured(measured)
    write("startup", measured, promises)
    return print_promises(promises)


def keep_compiled(folder: Path) -> None:
    """Let processes that are started from now on find compiled modules, in a folder that is nobody else's."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")


def make_store(folder: Path) -> Path:
    """Write a store of the article's tokens and random vectors, with its two default indexes, by kotovec's own code."""
    import numpy as np

    from kotovec.space import Space
    from kotovec.store import index
    from kotovec.store.layout import Layout
    from kotovec.store.metric import Metric
    from kotovec.store.tokens import Marking, describe
    from kotovec.store.vectors import Vectors
    from kotovec.store.writer import write_space, write_tokens

    layout, rng = Layout(folder), np.random.default_rng(0)
    texts = (VOCABULARY / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    tokens = describe(range(len(texts)), texts, frozenset(range(5)), Marking.WORDPIECE, unk_id=1)
    folder.mkdir(parents=True)
    identity = write_tokens(layout, tokens, {"settings": "{}"})
    spaces = Space("static"), Space("isolated", 12)
    for space in spaces:
        vectors = rng.standard_normal((len(texts), DIMENSIONS), dtype=np.float32)
        write_space(layout, space, vectors, identity, {"versions": {"numpy": np.__version__}})
    for space in spaces:
        index.build(Vectors(folder), layout.indexes, space, Metric.L2)
    return folder


if __name__ == "__main__":
    sys.exit(main())
