"""A sample for another model: the same sentences for the same words, and nothing that its tokenizer does not find."""

from dataclasses import replace

import numpy as np
import pytest

from kotovec.cluster.contexts.reuse import describe_others, reuse
from kotovec.errors import InputError
from kotovec.store.contexts import Texts, read_contexts, write_contexts
from kotovec.store.tokens import KINDS

import sampled
from rays import plan_of
from scanned import english, run_scan, scanner_of, spec_of, write_lines


@pytest.fixture(scope="module", params=["metaspace", "bytelevel", "suffix"])
def target(request):
    """What finds the tokens of another vocabulary, and its tokens."""
    return sampled.scanner_of(sampled.train(request.param), limit=5)


@pytest.fixture(scope="module")
def source(scanner, tiny_models, tmp_path_factory):
    """The sample of the tiny English model, read from its file, and its tokens."""
    folder = tmp_path_factory.mktemp("source")
    path = write_lines(folder / "a.txt", english())
    sample, _ = run_scan(spec_of(scanner, path), folder / "x.kotovec")
    write_contexts(folder / "contexts.h5", sample, "i", keep_text=True)
    return read_contexts(folder / "contexts.h5", "i"), plan_of(tiny_models["bert"]).tokens


def bare(surface):
    return surface.removeprefix("##").removeprefix("▁").removesuffix("</w>")


def contexts_of(sample, tokens):
    """Return the contexts of each item that has any, by its text without marks and its kind, once each."""
    found = {}
    for row, surface in enumerate(tokens.surfaces):
        texts = [sample.texts[number] for number in sample.of(row)]
        if texts:
            found.setdefault((bare(surface), KINDS[tokens.kinds[row]]), []).append((texts, bool(sample.inside[row])))
    return found


def test_what_both_vocabularies_have_takes_the_same_sentences(source, target):
    (other, other_tokens), (scanner, tokens) = source, target
    sample = reuse(other, other_tokens, tokens, scanner)
    before, now = contexts_of(other, other_tokens), contexts_of(sample, tokens)
    assert len(now) > 60
    assert now.keys() <= before.keys()
    same = []
    for key, several in now.items():
        for texts, inside in several:
            of_other = before[key][0]
            assert inside == of_other[1]
            assert [text for text in of_other[0] if text in texts] == texts  # in the order of their hashes
            if key[1] == "word" and not inside:
                same.append(texts == of_other[0])
    assert len(same) > 20
    assert sum(same) / len(same) > 0.6  # the others have it as The, or with another mark, in some sentence
    assert (np.diff(sample.hashes.astype(object)) > 0).all()
    assert np.unique(sample.sentences).tolist() == list(range(len(sample.hashes)))
    assert sample.limit == 5


def test_the_ids_are_those_of_this_model_and_every_item_is_found_in_its_sentences(source, target):
    scanner, tokens = target
    sample = reuse(*source, tokens, scanner)
    ids, offsets = scanner.splitter.split(list(sample.texts))
    np.testing.assert_array_equal(sample.ids, ids)
    np.testing.assert_array_equal(sample.id_offsets, offsets)
    seen = scanner.matcher.find(ids, offsets)
    found = set(zip(seen.rows.tolist(), seen.sentences.tolist(), seen.inside.tolist(), strict=True))
    rows = np.repeat(np.arange(len(tokens)), sample.counts)
    wanted = zip(rows.tolist(), sample.sentences.tolist(), sample.inside[rows].tolist(), strict=True)
    assert set(wanted) <= found


def test_the_same_model_takes_the_same_sample(source, scanner):
    other, tokens = source
    sample = reuse(other, tokens, tokens, scanner)
    assert sample.digest == other.digest
    np.testing.assert_array_equal(sample.occurrences, other.occurrences)
    assert list(sample.texts) == list(other.texts)
    assert sample.made == other.made


def test_fewer_contexts_are_those_of_the_smallest_hashes(source, scanner, tmp_path):
    other, tokens = source
    sample = reuse(other, tokens, tokens, replace(scanner, limit=2))
    path = write_lines(tmp_path / "a.txt", english())
    scanned, _ = run_scan(spec_of(replace(scanner, limit=2), path), tmp_path / "x.kotovec")
    assert sample.digest == scanned.digest
    assert sample.limit == 2


def test_sentences_that_the_model_cannot_read_are_left_out(source, scanner):
    other, tokens = source
    most = int(np.quantile(scanner.splitter.split(list(other.texts))[0], 0.9))
    sample = reuse(other, tokens, tokens, replace(scanner, rows=most))
    assert sample.ids.max() < most
    assert 0 < len(sample.sentences) < len(other.sentences)


def test_without_texts_or_a_word_in_common_there_is_one_line(source, scanner, tiny_models):
    other, tokens = source
    with pytest.raises(InputError, match=r"^the sentences of that store were not kept\n"):
        reuse(replace(other, texts=None), tokens, tokens, scanner)
    japanese = plan_of(tiny_models["japanese-v3"])
    words = japanese.tokens.take(np.flatnonzero([text not in set(tokens.texts) for text in japanese.tokens.texts]))
    message = r"^no token of this model is an item of that store, and its sentences are those of its items\n"
    with pytest.raises(InputError, match=message):
        reuse(other, tokens, words, replace(scanner_of(japanese), rows=None))
    with pytest.raises(
        InputError, match=r"^this model finds no token that it has in common with that store in the sen"
    ):
        reuse(replace(other, texts=Texts.of(["x"] * len(other.texts))), tokens, tokens, scanner)


def test_items_that_the_other_store_lacks_are_counted_as_their_sentences_are_others(source, target):
    (other, other_tokens), (scanner, tokens) = source, target
    theirs = {(bare(text), kind) for text, kind in zip(other_tokens.surfaces, other_tokens.kinds.tolist(), strict=True)}
    never = {KINDS.index(name) for name in ("special", "unused", "empty")}
    ours = list(zip(map(bare, tokens.surfaces), tokens.kinds.tolist(), strict=True))
    missing = sum(pair not in theirs and pair[1] not in never for pair in ours)
    assert missing > 100
    assert describe_others(other_tokens, tokens) == f"{missing:,} tokens are no items of that store, and get no context"
    sample = reuse(other, other_tokens, tokens, scanner)
    assert not sample.counts[[pair not in theirs for pair in ours]].any()
    assert describe_others(other_tokens, other_tokens) is None
    assert describe_others(other_tokens.take(np.arange(len(other_tokens) - 1)), other_tokens) == (
        "1 token is no item of that store, and gets no context"
    )
