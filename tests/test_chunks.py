"""What stands between two blanks is split once, and every text as if it were split whole."""

import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers import models as algorithms

from kotovec.workers import chunks as module
from kotovec.workers.chunks import Chunks, make_chunks
from kotovec.workers.splitter import packed

import sampled
from models import RECIPES

ATOMS = """
the king king's queen, (man) women; "quoted" 'tis don't I'll new-york 3.5% 1,000 x_y A.B. e-mail@a.org ... -- — “so”
’s naïve é é ÀÉ ß ſt İ ﬁ ① ㍿ ﾊﾝｶｸ 王と女王 東京。 안녕 мир สวัสดี 😀 👨‍👩‍👧 ́a ¨ ´ ▁ ▁king Ġking ## ##ing </w> <0x41>
\u200b \u00a0 \u3000
\t \n [MASK] [SEP]x <mask> a<mask>b </s> <|endoftext|> kotovec Kotovec [NEW]y \ufeff \u00ad \u2028 \x00 \u0085
""".split(" ")  # noqa: SIM905 — quoted, it would be five times as long
ATOM = st.one_of(st.sampled_from([atom.strip("\n") for atom in ATOMS]), st.text(max_size=4))
JOINED = st.tuples(st.sampled_from([" ", " ", "", "  "]), st.lists(ATOM, max_size=8))
TEXTS = JOINED.map(lambda pair: pair[0].join(pair[1]))


def wordpiece(minilm):
    return Tokenizer.from_file(str(minilm / "tokenizer.json"))


def with_pre(pre, normalizer=None, kind="metaspace", added=()):
    """A trained tokenizer with another pre-tokenizer."""
    tokenizer = Tokenizer.from_str(sampled.trained(kind))
    tokenizer.pre_tokenizer = tokenizer.pre_tokenizer if pre is None else pre
    tokenizer.normalizer = normalizer
    tokenizer.add_tokens(list(added))
    return tokenizer


def charsmap():
    """The rules of SentencePiece that most of its models have."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    written = bytes(sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc").serialized_model_proto())
    return sentencepiece_model_pb2.ModelProto.FromString(written).normalizer_spec.precompiled_charsmap


def tokenizers_(minilm, folder):
    import transformers

    found = {
        name: transformers.AutoTokenizer.from_pretrained(RECIPES[name](folder / name))
        for name in RECIPES
        if name in ("bert", "roberta", "xlmr", "gpt2", "bert-more-tokens")
    }
    found = {name: each.backend_tokenizer for name, each in found.items()}
    metaspace = pre_tokenizers.Metaspace
    sentencepiece_ = normalizers.Sequence(
        [normalizers.Precompiled(charsmap()), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    return found | {
        "demo": wordpiece(minilm),
        "bytelevel": with_pre(None, kind="bytelevel"),
        "prefixed": with_pre(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.NFKC(), "bytelevel"),
        "suffix": with_pre(None, normalizers.Lowercase(), "suffix", ["kotovec"]),
        "metaspace": with_pre(None),
        "first": with_pre(metaspace(prepend_scheme="first")),
        "never": with_pre(metaspace(prepend_scheme="never"), added=[AddedToken("[NEW]", normalized=False)]),
        "precompiled": with_pre(None, sentencepiece_),
        "precompiled, split": with_pre(
            pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace()]), sentencepiece_
        ),
    }


@pytest.fixture(scope="module")
def pairs(minilm, tmp_path_factory):
    """Each tokenizer, and the same by chunks."""
    found = tokenizers_(minilm, tmp_path_factory.mktemp("models"))
    for each in found.values():
        each.no_truncation()
        each.no_padding()
    return {name: (each, make_chunks(each)) for name, each in found.items()}


def whole(tokenizer, texts):
    return [packed(each.ids) for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def test_every_usual_tokenizer_is_split_by_chunks(pairs):
    assert {name for name, (_, chunks) in pairs.items() if chunks is None} == set()


@given(st.lists(TEXTS, max_size=4))
@settings(deadline=None, max_examples=40)
@example(["", " ", "  a", "a ", "a  b", "a\tb", "a \tb", "a <mask> b", "a [NEW] b", "a\u00a0 b", "e ́", "x\u3000y z"])
def test_texts_are_split_as_if_whole(pairs, texts):
    for name, (tokenizer, chunks) in pairs.items():
        assert chunks(texts) == whole(tokenizer, texts), name


@pytest.mark.parametrize("name", ["brown/english", "tatoeba/japanese"])
def test_so_are_the_sentences_of_a_corpus(pairs, name, monkeypatch):
    texts = sampled.sentences(name)
    for label, (tokenizer, chunks) in pairs.items():
        assert chunks(texts) == whole(tokenizer, texts), label
        monkeypatch.setattr(module, "MOST_CHUNKS", 100)
        other = pickle.loads(pickle.dumps(chunks))  # noqa: S301 — our own
        for start in range(0, 300, 20):
            assert other(texts[start : start + 20]) == whole(tokenizer, texts[start : start + 20]), label
        assert len(other._ids) < 1000


def test_only_short_chunks_are_kept(pairs):
    _, chunks = pairs["demo"]
    long = "a" * 33
    assert len(chunks([f"king {long}"])[0]) > 8
    assert "king" in chunks._ids
    assert long not in chunks._ids


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.add_tokens(["New York"]),
        lambda t: t.add_tokens([AddedToken("x", rstrip=True)]),
        lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace(split=False)),
        lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.ByteLevel(use_regex=False)),
        lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Split(Regex("a b"), "isolated")),
        lambda t: setattr(t, "normalizer", normalizers.Replace("a b", "c")),
        lambda t: setattr(t, "normalizer", normalizers.Sequence([normalizers.Prepend("▁")])),
        lambda t: setattr(t, "normalizer", normalizers.Strip()),
        lambda t: setattr(
            t,
            "pre_tokenizer",
            pre_tokenizers.Sequence(
                [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]
            ),
        ),
    ],
)
def test_where_a_token_may_cross_a_blank_texts_are_split_whole(change):
    tokenizer = with_pre(None)
    assert isinstance(make_chunks(tokenizer), Chunks)
    change(tokenizer)
    assert make_chunks(tokenizer) is None


def test_random_merges_are_not_kept():
    tokenizer = with_pre(None, kind="bytelevel")
    tokenizer.model.dropout = 0.1
    assert make_chunks(tokenizer) is None


def test_without_a_pre_tokenizer_nothing_is_cut():
    assert make_chunks(Tokenizer(algorithms.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))) is None
