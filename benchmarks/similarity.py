"""What the spaces of stores know about English words: SimLex-999, WordSim-353 and Google's analogies.

    python benchmarks/similarity.py --write-words FILE     # all words of the questions, for kotovec build --words FILE
    python benchmarks/similarity.py STORE [STORE …] [--json FILE]

A pair counts where both of its words have a vector in every space of every store, so that all spaces are asked the same
pairs. The number is Spearman's correlation of the cosines with people's scores, with the 95 % interval of 2,000
bootstrap samples of the pairs (seed 0). An analogy counts where all four words have a vector; it is answered by the
word of the whole store with the largest cosine to b − a + c (unit vectors, 3CosAdd), once among all words and
once without a, b and c. The data are those of gensim's tests.
"""

import argparse
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from turns import find_kotovec

SAMPLES = 2000
PAIRS = {"SimLex-999": "simlex999.txt", "WordSim-353": "wordsim353.tsv"}
BLOCK = 1024  # analogies that are answered together
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """A space of a store: what it is called, unit vectors of all words, and which words have one."""

    name: str
    unit: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="*", metavar="STORE")
    parser.add_argument("--write-words", type=Path, metavar="FILE", help="write the list of words there, and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    options = parser.parse_args()
    if options.write_words:
        options.write_words.write_text("".join(f"{word}\n" for word in sorted(words())))
        return
    find_kotovec()
    from kotovec import Store

    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(Store.open(path)) for path in options.stores]
        first = stores[0].tokens
        if any(store.tokens.texts.block != first.texts.block for store in stores):
            raise SystemExit("the stores have other tokens")
        spaces = [asked for path, store in zip(options.stores, stores, strict=True) for asked in read(path, store)]
        rows = {text: first.texts.find(text) for text in words()}
    everywhere = np.logical_and.reduce([space.present for space in spaces])
    known = {text: row for text, row in rows.items() if row is not None and everywhere[row]}
    results = [measure(space, known) for space in spaces]
    show(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def read(path: Path, store: Any) -> list[Asked]:
    """Return the spaces of a store."""
    found = []
    for space in store.spaces:
        vectors = np.asarray(store.array(space), dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        unit = vectors / np.where(norms > 0, norms, 1)[:, np.newaxis]
        found.append(Asked(f"{path.name.removesuffix('.kotovec')} {space}", unit, norms > 0))
    return found


def data(name: str) -> list[list[str]]:
    """Return the lines of a file of gensim's tests, in fields."""
    import gensim

    path = Path(gensim.__file__).parent / "test" / "test_data" / name
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t" if name != "questions-words.txt" else " ") for line in lines if line[:1] not in ("#", ":")]


def words() -> set[str]:
    """Return all words of the questions, in lower case."""
    pairs = {field.lower() for name in PAIRS.values() for fields in data(name) for field in fields[:2]}
    return pairs | {field.lower() for fields in data("questions-words.txt") for field in fields}


def measure(space: Asked, known: dict[str, int]) -> dict[str, Any]:
    """Return what a space knows about the words that all spaces have."""
    result: dict[str, Any] = {"space": space.name, "words": int(space.present.sum())}
    for name, file in PAIRS.items():
        result[name] = correlation(space, known, data(file))
    questions = [[field.lower() for field in fields] for fields in data("questions-words.txt")]
    asked = np.array([[known[word] for word in words] for words in questions if known.keys() >= set(words)])
    result["analogies"] = {"questions": len(asked), **analogies(space, asked)}
    return result


def correlation(space: Asked, known: dict[str, int], pairs: list[list[str]]) -> dict[str, Any]:
    """Return Spearman's correlation of cosines and people's scores, with its bootstrap interval."""
    kept = [
        (known[a.lower()], known[b.lower()], float(score))
        for a, b, score in pairs
        if {a.lower(), b.lower()} <= known.keys()
    ]
    left, right = (np.array([pair[side] for pair in kept]) for side in (0, 1))
    scores = np.array([pair[2] for pair in kept])
    cosines = np.einsum("ij,ij->i", space.unit[left], space.unit[right], dtype=np.float64)
    random = np.random.default_rng(0)
    picks = random.integers(len(kept), size=(SAMPLES, len(kept)))
    low, high = np.percentile([spearman(cosines[pick], scores[pick]) for pick in picks], (2.5, 97.5))
    return {"pairs": len(kept), "rho": spearman(cosines, scores), "low": float(low), "high": float(high)}


def spearman(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the rank correlation, with equal values at their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def analogies(space: Asked, asked: Rows) -> dict[str, float]:
    """Return the parts of the analogies that are answered right, with the words of the question and without them."""
    right = {"in": 0, "out": 0}
    gone = ~space.present
    for start in range(0, len(asked), BLOCK):
        a, b, c, d = asked[start : start + BLOCK].T
        scores = (space.unit[b] - space.unit[a] + space.unit[c]) @ space.unit.T
        scores[:, gone] = -np.inf
        right["in"] += int((scores.argmax(axis=1) == d).sum())
        for words in (a, b, c):
            scores[np.arange(len(words)), words] = -np.inf
        right["out"] += int((scores.argmax(axis=1) == d).sum())
    return {name: count / max(1, len(asked)) for name, count in right.items()}


def show(results: list[dict[str, Any]]) -> None:
    """Print the table."""
    first = results[0]
    heads = [f"{name} ({first[name]['pairs']} pairs)" for name in PAIRS]
    questions = f"analogies ({first['analogies']['questions']:,})"
    print(f"| space | words | {' | '.join(heads)} | {questions}, inputs in | inputs out |")
    print("|---|---:|---|---|---:|---:|")
    for row in results:
        cells = [f"{row[name]['rho']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]" for name in PAIRS]
        shares = [f"{row['analogies'][side]:.3f}" for side in ("in", "out")]
        print(f"| {row['space']} | {row['words']:,} | {' | '.join((*cells, *shares))} |")


if __name__ == "__main__":
    main()
