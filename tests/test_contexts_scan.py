"""The scan of a corpus: one sample whatever the corpus looks like, and whatever happens on the way."""

import numpy as np
import pytest

from corpora import (
    by_force,
    bytes_of,
    english,
    packed,
    run_scan,
    scanner_of,
    spec_of,
    write_jsonl,
    write_lines,
    write_parquet,
)
from rays import plan_of


@pytest.fixture(scope="session")
def scanner(tiny_models):
    """What finds the tokens of the tiny English model."""
    return scanner_of(plan_of(tiny_models["bert"]))


@pytest.fixture(scope="session")
def reference(scanner, tmp_path_factory):
    """Return the bytes of the sample of the English corpus, in one piece, read by this process."""
    folder = tmp_path_factory.mktemp("reference")
    path = write_lines(folder / "a.txt", english())
    sample, _ = run_scan(spec_of(scanner, path, piece_bytes=1 << 30), folder / "x.kotovec")
    return bytes_of(sample)


def test_the_sample_is_that_of_all_sentences_sorted_by_their_hashes(scanner, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    sample, told = run_scan(spec_of(scanner, path), tmp_path / "x.kotovec")
    chosen, occurrences = by_force(english(), scanner)
    found = {row: [sample.texts[number] for number in sample.of(row)] for row in range(scanner.matcher.items)}
    assert {row: texts for row, texts in found.items() if texts} == chosen
    assert max(map(len, chosen.values())) == 5
    exact = {row: count for row, count in occurrences.items() if count <= 5}
    assert {row: sample.occurrences[row] for row in exact} == exact
    print(told, sample.made, sample.counts.sum(), len(sample.hashes))
