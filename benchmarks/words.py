"""A build of a list of words: time and the driver's memory for 100,000, 300,000 and a million made-up words.

    python benchmarks/words.py [--sizes 100000 300000 1000000] [--workers 2] [--json]

The model is a BERT of two layers and 64 dimensions, so that what is measured is the way of the words and not the
model: reading the list, splitting it by the tokenizer, shards, merge and indexes. Memory is anonymous memory (RssAnon
in /proc/PID/status) of the process that builds, read from outside every few milliseconds, phase by phase.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scale import SAMPLE_SECONDS, anonymous, find_kotovec

SIZES = (100_000, 300_000, 1_000_000)
WIDTH = 64
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of words [100000 300000 1000000]")
    parser.add_argument("--workers", type=int, default=2, help="Ray actors; 0 encodes in the process that builds [2]")
    parser.add_argument("--json", action="store_true", help="all numbers as JSON instead of a table")
    options = parser.parse_args()
    find_kotovec()
    with tempfile.TemporaryDirectory(prefix="kotovec-words-") as folder:
        root = Path(folder)
        model = make_model(root / "model")
        rows = [measure(root, model, size, options.workers) for size in options.sizes]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    phases = list(rows[-1]["seconds"])
    print("words      pieces      seconds   driver MB  " + "  ".join(f"{name:>8}" for name in phases))
    for row in rows:
        shown = "  ".join(f"{row['seconds'].get(name, 0):>8.1f}" for name in phases)
        total = sum(row["seconds"].values())
        print(f"{row['words']:<10,} {row['pieces']:<11,} {total:<9.1f} {row['peak'] / 1e6:<10.0f} {shown}")
        print("  MB by phase: " + ", ".join(f"{name} {value / 1e6:.0f}" for name, value in row["peaks"].items()))
        print(f"  the process's own CPU {row['cpu']:.1f} s; first query, with opening, {row['query']:.2f} s")


def make_model(folder: Path) -> Path:
    """Write a BERT whose vocabulary is a hundred syllables, with and without `##`, and some words of two of them."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    words = [first + second for first in SYLLABLES[::4] for second in SYLLABLES[::4]]
    texts = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SYLLABLES, *(f"##{each}" for each in SYLLABLES), *words]
    vocabulary = {text: number for number, text in enumerate(texts)}
    transformers.BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(texts),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=32,
    )
    torch.manual_seed(0)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def made_up(count: int) -> Iterator[str]:
    """Yield distinct words of two to six syllables, four on average."""
    chosen = random.Random(0)
    for number in range(count):
        ending = SYLLABLES[number % 100] + SYLLABLES[number // 100 % 100] + SYLLABLES[number // 10_000 % 100]
        yield "".join(chosen.choices(SYLLABLES, k=chosen.randint(0, 3))) + ending


def measure(root: Path, model: Path, size: int, workers: int) -> dict[str, Any]:
    """Build a store of so many words; return what it took."""
    file = root / f"words-{size}.txt"
    file.write_text("".join(f"{word}\n" for word in made_up(size)), encoding="utf-8")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    store = root / f"words-{size}.kotovec"
    builder = multiprocessing.get_context("spawn").Process(target=build, args=(theirs, model, file, store, workers))
    builder.start()
    phase, peaks, result = "import", {}, None
    while result is None and builder.is_alive():
        peaks[phase] = max(peaks.get(phase, 0), anonymous(builder.pid or 0))
        while ours.poll():
            what = ours.recv()
            if isinstance(what, str):
                phase = what
            else:
                result = what
        time.sleep(SAMPLE_SECONDS)
    builder.join()
    return {**(result or {}), "peaks": peaks, "peak": max(peaks.values())}


def build(tell: Connection, model: Path, file: Path, store: Path, workers: int) -> None:
    """Build, and send the names of the phases and what they took."""
    find_kotovec()
    os.environ["KOTOVEC_QUIET"] = "1"
    from kotovec.cluster.build import build as build_plan
    from kotovec.cluster.events import Event, Phase
    from kotovec.cluster.plan import Request, make_plan
    from kotovec.cluster.where import Resources
    from kotovec.store import Store

    def report(event: Event) -> None:
        if isinstance(event, Phase):
            tell.send(event.name)

    tell.send("plan")
    begin = time.monotonic()
    plan = make_plan(Request(model=str(model), words=file, device="cpu"))
    seconds = {"plan": time.monotonic() - begin}
    summary = build_plan(plan, store, Resources(workers=workers), report=report)
    tell.send("done")
    time.sleep(10 * SAMPLE_SECONDS)
    begin = time.monotonic()
    with Store.open(store) as opened:
        pieces = 0 if opened.tokens.pieces is None else len(opened.tokens.pieces.ids)
        opened.search("#0 - #1 + #2", k=10)
    asked = time.monotonic() - begin
    found = {"words": summary.tokens, "pieces": pieces, "bytes": summary.bytes, "query": asked}
    tell.send({**found, "cpu": time.process_time(), "seconds": seconds | summary.seconds})


if __name__ == "__main__":
    sys.exit(main())
