"""Which tokens a text can have, against the tokenizer itself, asked for every token in every context."""

from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from kotovec.store import Store
from kotovec.store.reach import Reach, find_reach
from kotovec.store.tokens import Kind, Marking

from stores import make_tokens, write_store
from tokenized import write_vocabulary

LETTERS = "aeiqsxzTQя王あア"
MECAB_LETTERS = "aesQяあア亜大1"


def bare(text, marking, tokenizer):
    """A token's text without its mark, and whether a space is a part of it."""
    if marking is Marking.WORDPIECE:
        return text.removeprefix("##") if text != "##" else text, False
    plain = tokenizer.decoder.decode([text]) if marking is Marking.BYTELEVEL else text.replace("▁", " ")
    return plain.removeprefix(" "), plain.startswith(" ")


def contexts(plain, letters):
    """The contexts of the brute force, and how each shows the token."""
    yield "alone", plain
    for before in ("", "a"):
        yield "space", f"{before} {plain}"
        yield "newline", f"{before}\n{plain}"
    for letter in letters:
        yield "letter", letter + plain


def encoder(path):
    """The judge: `tokenizers` itself or, for MeCab, transformers' own class; ids of a text."""
    if (path / "tokenizer" / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(path / "tokenizer" / "tokenizer.json"))
        tokenizer.no_padding()
        return tokenizer, lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    from transformers import BertJapaneseTokenizer

    japanese = BertJapaneseTokenizer.from_pretrained(path / "tokenizer")
    return None, lambda text: japanese.convert_tokens_to_ids(japanese.tokenize(text))


def brute_force(path, store, rows, letters):
    """For each of some rows, in which contexts its token is found, by ids."""
    tokenizer, encode = encoder(path)
    found = {}
    for row in rows:
        token_id = int(store.tokens.ids[row])
        plain, _ = bare(store.tokens.texts[row], store.tokens.marking, tokenizer)
        names = set()
        for name, text in contexts(plain, letters):
            ids = encode(text)
            if ids == [token_id] if name == "alone" else ids[-1:] == [token_id]:
                names.add(name)
        found[row] = names
    return found


def check(reach, names):
    """The category of a token agrees with the contexts in which the judge shows it."""
    assert (reach is Reach.ALONE) == ("alone" in names)
    if names:
        assert reach is not Reach.UNREACHABLE
    if "letter" in names and "alone" not in names:
        assert reach is Reach.INSIDE
    if reach is Reach.SPACE:
        assert "letter" not in names
    if reach is Reach.NEWLINE:
        assert names == {"newline"}


def is_text(reached):
    return reached.reach not in (Reach.SPECIAL, Reach.UNUSED, Reach.PARTIAL)


@pytest.mark.parametrize("name", ["demo_static", "bytelevel", "metaspace"])
def test_what_is_found_is_what_the_tokenizer_shows_in_every_context(name, request):
    path = request.getfixturevalue(name)
    with Store.open(path) as store:
        reached = find_reach(store.lookup, range(len(store)))
        texts = [row for row in range(len(store)) if is_text(reached[row])]
        chosen = np.random.default_rng(2).choice(texts, min(400, len(texts)), replace=False).tolist()
        rows = sorted({*chosen, *(row for row in texts if reached[row].reach is Reach.UNREACHABLE)})
        shown = brute_force(path, store, rows, LETTERS)
    assert len(rows) >= 400
    for row in rows:
        check(reached[row].reach, shown[row])
        if reached[row].reach is Reach.SPACE:
            assert "space" in shown[row]


@pytest.mark.parametrize("name", ["japanese", "japanese_ipadic"])
def test_what_is_found_is_what_transformers_shows_of_words_that_mecab_splits(name, request):
    """Behind letters that are tried: behind 王, 16 of 1,222 tokens are shown that nothing else showed."""
    path = request.getfixturevalue(name)
    with Store.open(path) as store:
        rows = np.random.default_rng(2).choice(len(store), 600, replace=False).tolist()
        reached = dict(zip(rows, find_reach(store.lookup, rows), strict=True))
        rows = [row for row in rows if is_text(reached[row])]
        shown = brute_force(path, store, rows, MECAB_LETTERS)
    for row in rows:
        check(reached[row].reach, shown[row])
    assert Counter(each.reach for each in reached.values())[Reach.UNREACHABLE] > 30
    assert {context for names in shown.values() for context in names} == {"alone", "letter", "space", "newline"}


def counts(path, rows=None):
    with Store.open(path) as store:
        reached = find_reach(store.lookup, range(len(store)) if rows is None else rows)
        return store.tokens, reached, Counter(each.reach for each in reached)


def test_the_demo_has_337_dead_tokens_and_each_is_said_to_become_what_it_becomes(demo_static):
    tokens, reached, found = counts(demo_static)
    assert found == {
        Reach.SPECIAL: 5, Reach.UNUSED: 994, Reach.ALONE: 23_694, Reach.INSIDE: 5492, Reach.UNREACHABLE: 337
    }  # fmt: skip
    dead = {tokens.texts[row]: each.pieces for row, each in enumerate(reached) if each.reach is Reach.UNREACHABLE}
    assert dead["..."] == (".", ".", ".")
    assert dead["##!"] == ("!",)
    assert dead["##門"] == ("門",)  # BERT splits kanji before WordPiece sees them
    assert all(text.startswith("##") for text in dead if text != "...")


def test_byte_level_words_begin_with_their_space(bytelevel):
    tokens, reached, found = counts(bytelevel)
    by_text = {text: reached[row] for row, text in enumerate(tokens.texts)}
    assert by_text["Ġthe"].reach is Reach.SPACE
    assert by_text["<|endoftext|>"].reach is Reach.SPECIAL
    assert by_text["Ã"].reach is Reach.PARTIAL
    assert found[Reach.UNREACHABLE] == 0  # BPE reaches what it was trained on, alone or behind a space
    assert found[Reach.PARTIAL] >= 128


def test_japanese_words_are_split_by_mecab_first(japanese):
    expected = {
        "女王": Reach.ALONE,
        "王": Reach.ALONE,
        "##ing": Reach.INSIDE,
        "##え": Reach.INSIDE,  # behind a word of the vocabulary alone
        "": Reach.UNREACHABLE,
        "[CLS]": Reach.SPECIAL,
    }
    with Store.open(japanese) as store:
        rows = [store.tokens.texts.find(text) for text in expected]
        reached = find_reach(store.lookup, rows)
    assert dict(zip(expected, (each.reach for each in reached), strict=True)) == expected


def test_a_token_that_ends_a_word_and_one_that_does_not(tmp_path):
    vocabulary = {"k": 0, "i": 1, "k</w>": 2, "i</w>": 3, "ki": 4, "ki</w>": 5}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("k", "i"), ("k", "i</w>")], end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = write_vocabulary(tmp_path / "a.kotovec", tokenizer, np.eye(6, dtype=np.float32), Marking.SUFFIX, [])
    _, reached, _ = counts(path)
    assert [each.reach for each in reached] == [Reach.UNREACHABLE] * 2 + [Reach.ALONE] * 2 + [
        Reach.UNREACHABLE,
        Reach.ALONE,
    ]


def test_a_text_that_the_store_holds_a_part_of_is_not_tested(tmp_path):
    from kotovec.store.terms import Lookup
    from kotovec.store.tokenizer import Tokenizer as Stored

    tokens = make_tokens(["a", "b" * 5000, "<s>"], special=["<s>"])
    lookup = Lookup(tokens, tmp_path)
    lookup.__dict__["tokenize"] = Stored(tmp_path, lambda text: [text])
    assert [each.reach for each in find_reach(lookup, range(3))] == [Reach.ALONE, Reach.UNTESTED, Reach.SPECIAL]


def test_a_store_without_a_tokenizer_says_so(tmp_path):
    from kotovec.errors import StoreError

    with Store.open(write_store(tmp_path / "a.kotovec", make_tokens(["a", "b"]), np.eye(2))) as store:
        assert store.tokens.kinds.tolist() == [Kind.WORD] * 2
        with pytest.raises(StoreError, match="holds no tokenizer"):
            find_reach(store.lookup, [0])


def test_words_of_a_list_are_no_tokens(metaspace):
    from kotovec.errors import InputError
    from kotovec.store.coverage import cover, measure

    with Store.open(metaspace) as store:
        object.__setattr__(store.tokens, "pieces", ())
        for ask in (
            lambda: find_reach(store.lookup, [0]),
            lambda: cover(store, "some", "a"),
            lambda: measure(store, ["a"]),
        ):
            with pytest.raises(InputError, match="words of a list, and not tokens"):
                ask()


def test_a_token_that_only_punctuation_shows(tmp_path):
    from kotovec.store.terms import Lookup
    from kotovec.store.tokenizer import Tokenizer as Stored

    shown = {".n": [".", "n"], "(m)": ["(", "m", ")"]}
    lookup = Lookup(make_tokens(["n", "m", "o"]), tmp_path)
    lookup.__dict__["tokenize"] = Stored(tmp_path, lambda text: shown.get(text, ["?"]))
    reached = [each.reach for each in find_reach(lookup, range(3))]
    assert reached == [Reach.INSIDE, Reach.INSIDE, Reach.UNREACHABLE]
