"""The sample of a corpus against brute force: all sentences in memory, sorted by their hashes, the first N taken."""

from itertools import groupby

import numpy as np
import pytest

from kotovec.cluster.contexts.spellings import spell_within
from kotovec.store.tokens import Kind, Pieces, Strings, describe_words
from kotovec.workers.spelling import split
from kotovec.workers.tokenizer import list_vocabulary

import sampled

LIMITS = (1, 7, 50)
TEXTS = {"demo": "brown/english", "japanese-v1": "tatoeba/japanese", "japanese-v3": "tatoeba/japanese"}


@pytest.fixture(scope="module")
def tokenizers(minilm, tiny_models):
    """Tokenizers by name, loaded or trained when they are first asked for."""
    import transformers

    class Tokenizers(dict):
        def __missing__(self, name):
            if name in ("bytelevel", "metaspace", "suffix"):
                self[name] = sampled.train(name)
            else:
                folder = minilm if name == "demo" else tiny_models[name]
                options = {"mecab_kwargs": {"mecab_dic": "ipadic"}} if name == "japanese-v1" else {}
                self[name] = transformers.AutoTokenizer.from_pretrained(folder, **options)
            return self[name]

    return Tokenizers()


def texts_of(name):
    if name in TEXTS:
        return sampled.sentences(TEXTS[name])
    return [*sampled.sentences("brown/english"), *sampled.sentences("tatoeba/japanese")]


def words_by_number(tokenizer):
    """The ids of each word of a text, by the numbers that a fast tokenizer gives its words."""

    def words(text):
        encoded = tokenizer(text, add_special_tokens=False)
        pairs = zip(encoded.word_ids(), encoded["input_ids"], strict=True)
        return [[number for _, number in group] for _, group in groupby(pairs, key=lambda pair: pair[0])]

    return words


def words_by_mecab(tokenizer):
    """The ids of each of MeCab's words."""

    def words(text):
        found = tokenizer.word_tokenizer.tokenize(text)
        return [tokenizer.convert_tokens_to_ids(tokenizer.subword_tokenizer.tokenize(word)) for word in found]

    return words


def by_text(tokenizer):
    """Occurrences where a vocabulary marks blanks: what is beside a token in the text decides."""
    tokens = sampled.table(list_vocabulary(tokenizer))
    rows = {number: row for row, number in enumerate(tokens.ids.tolist())}

    def occurrences(text):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for number, (start, stop) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            row = rows[number]
            kind = Kind(tokens.kinds[row])
            start = min(start + text[start:stop].startswith(" "), stop)  # noqa: PLW2901 — a mark is no part of a word
            if kind in (Kind.SUBWORD, Kind.BYTE):
                yield row, True
            elif kind is Kind.WORD:
                yield row, sampled.between(text, start, stop)

    return occurrences


def rule(name, tokenizer):
    if name in ("bytelevel", "metaspace"):
        return by_text(tokenizer)
    words = words_by_mecab if name.startswith("japanese") else words_by_number
    return sampled.in_words(tokenizer, words(tokenizer))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", ["demo", "japanese-v1", "japanese-v3", "bytelevel", "metaspace", "suffix"])
def test_the_sample_is_that_of_brute_force(tokenizers, name, limit):
    tokenizer, texts = tokenizers[name], texts_of(name)
    expected, totals = sampled.truth(texts, rule(name, tokenizer), limit, seed=5)
    scanner, tokens = sampled.scanner_of(tokenizer, limit=limit, seed=5)
    sketches, held = sampled.scan(texts, scanner, cuts=6)
    found = sampled.sample_of(sketches)
    assert {tokens.texts[row] for row in expected.keys() ^ found.keys()} == set()
    assert {tokens.texts[row]: found[row] for row in found if found[row] != expected[row]} == {}
    assert sum(inside for inside, _ in found.values()) > 10  # some words are never seen whole
    assert len(found) > 1000
    for number in {number for _, numbers in found.values() for number in numbers}:
        text, ids = held[number]
        assert sampled.hash_of(text, 5) == number
        assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    exact = {row: total for row, total in totals.items() if total <= limit}
    estimated = np.where(sketches.whole.counts() > 0, sketches.whole.estimate(), sketches.inside.estimate())
    assert {row: estimated[row] for row in exact} == exact
    assert set(np.flatnonzero(estimated).tolist()) == set(totals)
    if limit == max(LIMITS):
        errors = [estimated[row] / total - 1 for row, total in totals.items() if total > 2 * limit]
        assert len(errors) > 20
        assert np.max(np.abs(errors)) < 4 / np.sqrt(limit - 1)  # items share sentences, and so their errors


def spelled(tokenizer, words):
    """The table of a list of words that the tokenizer splits."""
    offsets, ids = split(tokenizer, [words], max(len(word.encode()) for word in words))
    return describe_words(Strings(words), Pieces(offsets, ids))


def runs(words, wanted):
    """Whether ids stand as whole words in the ids of a text's words."""
    ids = [number for word in words for number in word]
    starts = set(np.cumsum([0, *map(len, words)]).tolist())
    places = [at for at in range(len(ids)) if ids[at : at + len(wanted)] == wanted]
    return any({at, at + len(wanted)} <= starts for at in places)


def within_alone(tokenizer, words):
    """Three words of one id that a text has inside of other words alone: they have no context."""
    whole = {word[0] for word in words if len(word) == 1}
    others = sorted({number for word in words for number in word} - whole)
    texts = {number: tokenizer.decode([number]).removeprefix("##").strip() for number in others}
    ids = tokenizer(list(texts.values()), add_special_tokens=False)["input_ids"]
    return [text for (number, text), each in zip(texts.items(), ids, strict=True) if each == [number]][:3]


ENGLISH = "king the The county New-York york 's president presidents jury unbelievably Hawksley mr. vice-president"
JAPANESE = (
    "王 王様 国王 東京 東京大学 彼女は 日本語 日本 語 カトリック ません たくない 食べ物を 超電磁砲の コンピューター"
)


@pytest.mark.parametrize("name", ["demo", "japanese-v1", "japanese-v3", "suffix"])
def test_words_of_a_list_are_runs_of_ids_between_words(tokenizers, name):
    tokenizer, texts = tokenizers[name], texts_of(name)
    japanese = name.startswith("japanese")
    split_text = (words_by_mecab if japanese else words_by_number)(tokenizer)
    words = JAPANESE.split() if japanese else [*ENGLISH.split(), "new york", "of the", "in the world"]
    parts = within_alone(tokenizer, [word for text in texts for word in split_text(text)])
    tokens = spelled(tokenizer, words := [*words, *parts])
    pieces = [tokens.pieces.slice(row, row + 1).ids.tolist() for row in range(len(words))]
    assert max(map(len, pieces)) > 2

    def occurrences(text):
        found = split_text(text)
        for row, wanted in enumerate(pieces):
            if runs(found, wanted):
                yield row, True

    expected, _ = sampled.truth(texts, occurrences, 9)
    scanner, _ = sampled.scanner_of(tokenizer, tokens, limit=9)
    found = sampled.sample_of(sampled.scan(texts, scanner, cuts=4)[0])
    assert {words[row]: value for row, value in found.items()} == {words[row]: expected[row] for row in expected}
    assert len(found) > 8
    assert len(parts) == 3
    assert not {words[row] for row in found} & set(parts)


@pytest.mark.parametrize(("name", "least"), [("bytelevel", 1.0), ("metaspace", 0.9)])
def test_words_of_a_list_are_found_behind_blanks_and_behind_signs(tokenizers, name, least):
    """SentencePiece splits king), as one, and may split king in it in another way than king alone."""
    tokenizer, texts = tokenizers[name], sampled.sentences("brown/english")
    words = ["jury", "president", "world", "county", "Texas", "new", "time", "unbelievable", "of the", "people", "is"]
    tokens = spelled(tokenizer, words)
    spellings = spell_within(sampled.Splitter(tokenizer), list_vocabulary(tokenizer), tokens)
    assert len(spellings.rows) > len(words)
    scanner, _ = sampled.scanner_of(tokenizer, tokens, spellings, limit=1000)
    found = sampled.sample_of(sampled.scan(texts, scanner, cuts=4)[0])

    def occurrences(text):
        for row, word in enumerate(words):
            places = [at for at in range(len(text)) if text.startswith(word, at)]
            if any(sampled.between(text, at, at + len(word)) for at in places):
                yield row, True

    expected, _ = sampled.truth(texts, occurrences, 1000)
    for row, (_, numbers) in expected.items():
        inside, hashes = found[row]
        assert not inside
        assert set(hashes) <= set(numbers), words[row]
        assert len(hashes) >= least * len(numbers), words[row]
