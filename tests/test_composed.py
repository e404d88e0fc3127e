"""Words of several pieces in another normal form: the composed form is split, not letters and marks apart."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from kotovec.store import Store
from kotovec.store.expression import Term
from kotovec.store.terms import Lookup
from kotovec.store.tokens import Marking

import stores

TEXTS = ["<unk>", "▁", "▁パ", "パ", "ハ", "▁ハ", "\u309a", "リ", "e", "\u0301", "é", "t", "ét"]


def tokenizer(texts):
    # XLM-R's table of characters makes a letter and a mark of ﾊﾟ, one at a time, as here.
    made = Tokenizer(models.Unigram([(text, -1.0 if text else -99.0) for text in texts], unk_id=0))
    rules = [normalizers.Replace(char, full) for char, full in (("ﾊ", "ハ"), ("ﾟ", "\u309a"), ("ﾘ", "リ"))]
    made.normalizer = normalizers.Sequence(rules)
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return made


def found(tmp_path, text, texts=TEXTS):
    tokenizer(texts).save(str(tmp_path / "tokenizer.json"))
    lookup = Lookup(stores.make_tokens(texts, marking=Marking.METASPACE, unknown="<unk>"), tmp_path)
    term = lookup.resolve(Term(text, 1.0, 0))
    return [texts[row] for row in term.rows], term.note


@pytest.mark.parametrize(
    ("text", "pieces", "form"),
    [
        ("パリ", ["▁パ", "リ"], ""),
        ("ハ\u309aリ", ["▁パ", "リ"], " (NFC)"),
        ("ﾊﾟﾘ", ["▁パ", "リ"], " (NFKC)"),
        ("リハ\u309aリハ\u309a", ["リ", "パ", "リ", "パ"], " (NFC)"),
        ("te\u0301t", ["t", "ét"], " (NFC)"),
        ("ハリ", ["▁ハ", "リ"], ""),
        ("ﾊﾘ", ["▁ハ", "リ"], ""),  # as many pieces as in NFKC, and the same
    ],
)
def test_a_word_of_several_pieces_is_split_in_its_composed_form(tmp_path, text, pieces, form):
    """パリ typed decomposed or in half width was the mean of ハ, ゚ and リ."""
    mark = "" if pieces[0].startswith("▁") else ", without the lone ▁"
    note = f"{text} is not one token: the mean of {' | '.join(pieces)}{form}{mark}"
    assert found(tmp_path, text) == (pieces, note)


def test_where_only_the_decomposed_form_is_in_the_vocabulary_it_is_split(tmp_path):
    texts = [text for text in TEXTS if text not in {"é", "ét", "パ", "▁パ"}]
    note = "te\u0301 is not one token: the mean of t | e | \u0301, without the lone ▁"
    assert found(tmp_path, "te\u0301", texts) == (["t", "e", "\u0301"], note)


@pytest.mark.parametrize("text", ["ハ\u309aリス\u3099", "ﾊﾟﾘｽﾞ"])
def test_mecab_splits_the_composed_form(japanese, text):
    """Its tokenizer normalizes what it splits: every form has the pieces of パリズ."""
    lookup = Store.open(japanese).lookup
    plain = lookup.resolve(Term("パリズ", 1.0, 0))
    term = lookup.resolve(Term(text, 1.0, 0))
    assert len(plain.rows) > 1
    assert (term.rows, term.note) == (plain.rows, plain.note.replace("パリズ", text))
