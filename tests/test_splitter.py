"""Sentences are split as transformers splits them, only faster."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from kotovec.errors import ModelError
from kotovec.workers import splitter as module
from kotovec.workers.splitter import PROBES, Splitter

import sampled
from models import KINDS

ODD = [
    "",
    " ",
    "[SEP] in the [MASK] middle</s> <s> <mask>",
    "a" * 300,
    "  spaces   inside  ",
    "ﾊﾝｶｸ ＦＵＬＬ ①②㍿　全角　空白",
    "😀👨‍👩‍👧 emoji é é",
    "王[UNK]女",
    "\u200bzero\u200dwidth\ufeff",
    "東京大学 New York 100％！？",
]


def ids_of(splitter, texts):
    ids, offsets = splitter.split(texts)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    return [ids[start:stop].tolist() for start, stop in pairwise(offsets)]


def loaded(name, tiny_models):
    import transformers

    options = {"mecab_kwargs": {"mecab_dic": "ipadic"}} if name == "japanese-v1" else {}
    return transformers.AutoTokenizer.from_pretrained(tiny_models[name], **options)


@pytest.mark.parametrize("name", KINDS)
def test_ids_are_those_of_transformers(name, tiny_models):
    tokenizer = loaded(name, tiny_models)
    extract = "tatoeba/japanese" if name.startswith("japanese") else "brown/english"
    texts = [*ODD, *PROBES, *sampled.sentences(extract)[:600]]
    expected = tokenizer(texts, add_special_tokens=False)["input_ids"]
    splitter = Splitter(tokenizer)
    assert ids_of(splitter, texts) == expected
    assert ids_of(splitter, texts) == expected  # words that were seen before
    assert ids_of(pickle.loads(pickle.dumps(splitter)), texts) == expected  # noqa: S301 — our own
    assert type(splitter._split).__name__ == ("_Worded" if name.startswith("japanese") else "_Fast")


def test_nothing_is_split_into_nothing(tiny_models):
    ids, offsets = Splitter(loaded("bert", tiny_models)).split([])
    assert (ids.tolist(), offsets.tolist()) == ([], [0])


def test_a_tokenizer_that_is_more_than_its_backend_is_called_as_it_is(tiny_models):
    tokenizer = loaded("bert", tiny_models)
    plain = tokenizer("king")["input_ids"]

    class Shouting(type(tokenizer)):
        def _encode_plus(self, text, *args, **kwargs):
            text = [each.replace("king", "queen") for each in text] if isinstance(text, list) else text
            return super()._encode_plus(text, *args, **kwargs)

    tokenizer.__class__ = Shouting
    splitter = Splitter(tokenizer)
    assert type(splitter._split).__name__ == "_Slow"
    assert ids_of(splitter, ["king", "queen"]) == tokenizer(["queen", "queen"], add_special_tokens=False)["input_ids"]
    assert ids_of(splitter, ["king"]) != [plain[1:-1]]


def test_nothing_is_cut_and_nothing_padded(tiny_models):
    """A tokenizer may truncate at so many tokens; sentences are cut later, around the item."""
    tokenizer = loaded("bert", tiny_models)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    (ids,) = ids_of(Splitter(tokenizer), ["king queen man woman a the city"])
    assert len(ids) == 7


def test_texts_that_rules_could_make_too_long_are_refused(tiny_models):
    from tokenizers import normalizers

    tokenizer = loaded("bert", tiny_models)
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("a", "b" * 100)])
    splitter = Splitter(tokenizer)
    with pytest.raises(ModelError, match="its rules may make more than"):
        splitter.split(["king", "a" * 20_000_000])
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("a", "b" * 1000)] * 3)
    with pytest.raises(ModelError, match="its rules may make a text 1e"):
        Splitter(tokenizer)


def test_words_are_kept_up_to_a_bound(tiny_models, monkeypatch):
    monkeypatch.setattr(module, "MOST_WORDS", 10)
    tokenizer = loaded("japanese-v3", tiny_models)
    splitter = Splitter(tokenizer)
    texts = sampled.sentences("tatoeba/japanese")[:50]
    assert ids_of(splitter, texts) == tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert len(splitter._split._ids) == 10
