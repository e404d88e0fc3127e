"""How fast a vocabulary is encoded: kotovec, every peer, and the floor of the matrix products alone.

    python benchmarks/encode.py --model minilm [--rounds N] [--peers a,b,c] [--dtype float32,bfloat16] [--sample N]

Every run is a process of its own, and they take turns. `whole` is such a process from outside, `encode` the encoding
in it alone: of kotovec from the phase's start to the last shard on disk, of the peers as each says in its docstring
(benchmarks/peers/). kotovec writes a store with its indexes; the peers and the floor keep nothing. The article's
loop runs on a sample, and its seconds are scaled to the vocabulary. Exits 1 if a promise does not hold; the numbers
go to benchmarks/results/encode-MODEL.json.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import checkpoints
from turns import (
    KOTOVEC,
    RESULTS,
    Measure,
    Measured,
    Promise,
    Spread,
    digits,
    find_kotovec,
    machine,
    median,
    print_measured,
    print_promises,
    process,
    take_turns,
    write,
)

PEERS = Path(__file__).parent / "peers"
NEEDS = {  # the peers, and the module without which each cannot run
    "floor": "torch",
    "model2vec": "model2vec",
    "sentence-transformers": "sentence_transformers",
    "ray-data": "pyarrow",
    "article": "transformers",
}
SCRIPTS = {"floor": "floor.py"} | {peer: f"by_{peer.replace('-', '_')}.py" for peer in NEEDS if peer != "floor"}
WORKERS = 2
FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # flags of processors that multiply it natively
NEAREST, QUERIES = 10, 1000  # of the overlap


def main() -> int:
    """Measure, print, write; return 1 if a promise does not hold, 2 if a peer is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm", choices=checkpoints.NAMES, help="[minilm]")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs [3]")
    parser.add_argument("--peers", default=",".join(NEEDS), help=f"[{','.join(NEEDS)}]")
    parser.add_argument("--sample", type=int, default=200, help="tokens of the article's loop [200]")
    parser.add_argument("--dtype", default="float32", help="of kotovec and the floor [float32]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the file of results")
    options = parser.parse_args()
    peers, dtypes = options.peers.split(","), options.dtype.split(",")
    if unknown := [peer for peer in peers if peer not in NEEDS]:
        parser.error(f"no such peer: {', '.join(unknown)}; take of {','.join(NEEDS)}")
    if not set(dtypes) <= {"float32", "bfloat16"} or "float32" not in dtypes:
        parser.error(f"--dtype {options.dtype}: take float32 or float32,bfloat16")
    if missing := [peer for peer in peers if find_spec(NEEDS[peer]) is None]:
        parser.error(f"not installed: {', '.join(missing)}; pip install 'kotovec[bench]', or leave out with --peers")
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-encode-") as name:
        folder = Path(name)
        model = checkpoints.find(options.model, folder)
        measured = take_turns(measures(model, folder, peers, dtypes, options.sample), options.rounds)
        lost = loss(*(folder / f"{dtype}.kotovec" for dtype in ("float32", "bfloat16"))) if len(dtypes) > 1 else {}
    return report(options.model, measured, lost, options.results)


def report(model: str, measured: Measured, lost: Mapping[str, float], results: Path) -> int:
    """Print tables and promises, write the file; return 1 if a promise does not hold."""
    print_measured(measured, "whole", title=f"{model}: whole process, s")
    print_measured(measured, "encode", title=f"{model}: encoding, s")
    print_measured(measured, "rate", title=f"{model}: encoding, tokens/s")
    promises = promised(model, measured, set(machine()["instruction_set"]))
    notes = [phases(measured["kotovec"])]
    if lost:
        notes.append(
            f"bfloat16 against float32: the relative error of a vector is {lost['median_error']:.2e} in the median and "
            f"{lost['largest_error']:.2e} at most; of the {NEAREST} nearest tokens of {QUERIES:,} tokens "
            f"{lost['overlap']:.1%} are the same."
        )
    if "floor bfloat16" in measured and "floor" in measured:
        half, single = (median(measured, label, "rate") for label in ("floor bfloat16", "floor"))
        notes.append(
            f"In bfloat16 the matrix products alone run at {half / single:.2f} times their rate in float32 here "
            f"({digits(half)} and {digits(single)} tokens/s)."
        )
    if "kotovec bfloat16" in measured and not set(machine()["instruction_set"]) & FAST_BFLOAT16:
        notes.append("This processor does not multiply bfloat16 natively: nothing is promised of its speed.")
    path = write(f"encode-{model}", measured, promises, folder=results, loss=lost, notes=notes)
    print("\n".join([*notes, f"written: {path}"]))
    return print_promises(promises)


def phases(numbers: Mapping[str, list[float]]) -> str:
    """Return the sentence that says where the time of kotovec's whole process went."""
    named = {name: Spread.of(values).median for name, values in numbers.items() if name not in ("rate", "rest")}
    whole = named.pop("whole")
    rest = whole - sum(named.values())
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in named.items())
    return f"kotovec's {whole:.1f} s in float32: {parts}; imports, checks and the end of Ray {rest:.1f}."


# What runs


def measures(model: Path, folder: Path, peers: list[str], dtypes: list[str], sample: int) -> dict[str, Measure]:
    """Return what takes turns: kotovec and the floor in each dtype, and the other peers."""
    chosen: dict[str, Measure] = {}
    for dtype in dtypes:
        suffix = "" if dtype == "float32" else f" {dtype}"
        chosen[f"kotovec{suffix}"] = kotovec(model, folder / f"{dtype}.kotovec", dtype)
        if "floor" in peers:
            chosen[f"floor{suffix}"] = peer("floor", model, "--dtype", dtype)
    for name in peers:
        if name == "article":
            chosen[name] = peer(name, model, "--sample", str(sample))
        elif name != "floor":
            chosen[name] = peer(name, model)
    return chosen


def kotovec(model: Path, store: Path, dtype: str) -> Measure:
    """Return what builds a store; the store stays until the next round."""
    words = [*KOTOVEC, "build", str(model), "--store", str(store), "--workers", str(WORKERS), "--device", "cpu"]

    def run() -> dict[str, float]:
        shutil.rmtree(store, ignore_errors=True)
        begin = time.perf_counter()
        output = process([*words, "--dtype", dtype, "--json"], cwd=store.parent)
        whole = time.perf_counter() - begin
        summary = json.loads(output)
        phases = summary["seconds"]
        return {
            "whole": whole,
            "encode": phases["encode"],
            "rate": summary["tokens"] / phases["encode"],
            "rest": whole - phases["encode"] - phases["start"] - phases["plan"],  # Ray starts during both
        } | {phase: seconds for phase, seconds in phases.items() if phase != "encode"}

    return run


def peer(name: str, model: Path, *more: str) -> Measure:
    """Return what runs a peer; one that took a sample of the vocabulary is scaled to the whole of it."""
    words = [sys.executable, str(PEERS / SCRIPTS[name]), str(model), *more]

    def run() -> dict[str, float]:
        begin = time.perf_counter()
        told = json.loads(process(words).splitlines()[-1])
        whole, encode = time.perf_counter() - begin, told["encode_seconds"]
        scaled = encode * told.get("vocabulary", told["tokens"]) / told["tokens"]
        return {"whole": whole - encode + scaled, "encode": scaled, "rate": told["tokens"] / encode}

    return run


# What is promised


def promised(model: str, measured: Measured, flags: set[str]) -> list[Promise]:
    """Return the promises that these measurements can be held against.

    Args:
        model: by name; some promises are of one model.
        measured: `whole`, `encode` and `rate` of whatever ran.
        flags: of the processor: where bfloat16 is not native, nothing is promised of it.
    """

    def over(text: str, number: str, one: str, other: str, **bound: float) -> list[Promise]:
        if one not in measured or other not in measured:
            return []
        unit = "tokens/s" if number == "rate" else "s"
        return [Promise(text, median(measured, one, number), median(measured, other, number), unit=unit, **bound)]

    ahead = ["sentence-transformers", "ray-data", "article", *(["model2vec"] if model == "minilm" else [])]
    found = [
        *over("encoding, kotovec / model2vec", "rate", "kotovec", "model2vec", at_least=1.25),
        *over("encoding, kotovec / floor", "rate", "kotovec", "floor", at_least=0.9),
    ]
    if flags & FAST_BFLOAT16:
        text = "encoding, kotovec in bfloat16 / in float32"
        found += over(text, "rate", "kotovec bfloat16", "kotovec", at_least=1.8)
    for name in ahead:
        found += over(f"whole process, kotovec / {name}", "whole", "kotovec", name, at_most=1.0)
    if model == "bert-base":
        found += over("whole process, article / kotovec", "whole", "article", "kotovec", at_least=20.0)
        rest = median(measured, "kotovec", "rest")
        found.append(Promise("everything but encoding and the start of Ray and its workers", rest, at_most=5.0))
    return found


def loss(single: Path, half: Path) -> dict[str, float]:
    """Return what bfloat16 loses: relative errors of isolated vectors, and how many nearest tokens stay.

    Args:
        single: a store built in float32.
        half: one of the same model, built in bfloat16.
    """
    import faiss
    import numpy as np

    from kotovec.store.database import Store

    one, other = (np.array(Store.open(path).array("isolated"), dtype=np.float32) for path in (single, half))
    errors = np.linalg.norm(other - one, axis=1) / np.linalg.norm(one, axis=1)
    queries = np.random.default_rng(0).choice(len(one), min(QUERIES, len(one)), replace=False)
    nearest: list[Any] = []
    for vectors in (one, other):
        _, rows = faiss.knn(vectors[queries], vectors, NEAREST + 1)
        # Without the token itself, which is nearest to itself in both.
        nearest.append([set(found.tolist()) - {query} for found, query in zip(rows, queries.tolist(), strict=True)])
    same = [len(before & after) / len(before) for before, after in zip(*nearest, strict=True)]
    return {
        "median_error": float(np.median(errors)),
        "largest_error": float(errors.max()),
        "overlap": float(np.mean(same)),
    }


if __name__ == "__main__":
    sys.exit(main())
