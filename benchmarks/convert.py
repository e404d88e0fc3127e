"""Time and memory of an import: files of 20,000, 200,000 and 2,000,000 made-up words × 300 dimensions.

    python benchmarks/convert.py [--sizes 20000 200000 2000000] [--text 20000 200000] [--others 200000 2000000]
        [--rounds 1]

Each import is a process of its own. Memory is its largest resident set, as the kernel counts it. The largest file has
2.4 GB, and so has its store; both are deleted before the next ones are made. Exits 1 if the promise does not hold:
more words cost memory for themselves, and their vectors (1,200 bytes each) none.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from map import watched
from turns import (
    KOTOVEC,
    RESULTS,
    Measure,
    Promise,
    find_kotovec,
    median,
    print_measured,
    print_promises,
    process,
    take_turns,
    write,
)

DIMENSIONS = 300
BLOCK = 2000  # rows of numbers, which are repeated: what they are takes no part in what is measured
PROMISED = 120  # bytes per word
OTHERS = ("npy", "safetensors", "parquet", "arrow")  # of which files are made by kotovec itself


def main() -> int:
    """Import, print and write what it took; return 1 if the promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=(20_000, 200_000, 2_000_000), help="words, binary")
    parser.add_argument("--text", type=int, nargs="*", default=(20_000, 200_000), help="words, as text")
    parser.add_argument("--others", type=int, nargs="*", default=(200_000, 2_000_000), help="words, in other formats")
    parser.add_argument("--rounds", type=int, default=1, help="[1]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the file of results")
    options = parser.parse_args()
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-convert-") as name:
        sizes = {"bin": options.sizes, "vec": options.text} | dict.fromkeys(OTHERS, options.others)
        labels = {ending: {f"{size:,} words, .{ending}": size for size in each} for ending, each in sizes.items()}
        measures = {
            label: importing(Path(name), size, ending)
            for ending, each in labels.items()
            for label, size in each.items()
        }
        measured = take_turns(measures, options.rounds)
    for number in ("seconds", "peak"):
        print_measured(measured, number)
    promises = []
    for each in labels.values():
        for (fewer, few), (more, many) in pairwise(each.items()):
            grown = 1e6 * (median(measured, more, "peak") - median(measured, fewer, "peak")) / (many - few)
            what = f"memory of a further word: {more}, after {few:,}"
            promises.append(Promise(what, grown, at_most=PROMISED, unit="bytes"))
    print(f"written: {write('convert', measured, promises, folder=options.results)}")
    return print_promises(promises)


def importing(folder: Path, size: int, ending: str) -> Measure:
    """Return a measure that writes a file, imports it and deletes both."""
    file, store = folder / f"vectors.{ending}", folder / "vectors.kotovec"
    run = watched([*KOTOVEC, "convert", str(file), str(store), "--quiet"])

    def measure() -> dict[str, float]:
        write_words(folder / f"vectors.{'vec' if ending == 'vec' else 'bin'}", size)
        if ending in OTHERS:
            for words in ((folder / "vectors.bin", store), (store, file)):
                process([*KOTOVEC, "convert", *map(str, words), "--quiet"])
            shutil.rmtree(store)
        found = {"size": file.stat().st_size / 1e6} | dict(run())
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        return found

    return measure


def write_words(file: Path, size: int) -> None:
    """Write a file of word2vec's, in binary if its name ends so."""
    with file.open("wb") as opened:
        opened.write(b"%d %d\n" % (size, DIMENSIONS))
        for row, numbers in enumerate(rows(size, binary=file.suffix == ".bin")):
            opened.write(b"word%d %s\n" % (row, numbers))


def rows(size: int, *, binary: bool) -> Iterator[bytes]:
    """Yield the numbers of each row."""
    vectors = np.random.default_rng(0).standard_normal((BLOCK, DIMENSIONS), dtype=np.float32)
    block = [
        vector.astype("<f4").tobytes() if binary else " ".join(vector.astype("U16").tolist()).encode()
        for vector in vectors
    ]
    return (block[row % BLOCK] for row in range(size))


if __name__ == "__main__":
    sys.exit(main())
