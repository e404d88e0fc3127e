"""Words of a list: their pieces and vectors against transformers, one word at a time, and what is left out."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers import models as algorithms
from tokenizers import pre_tokenizers as splitters
from vocabularies import write

from kotovec.cluster import replica as replicas
from kotovec.cluster.plan import Request, make_plan
from kotovec.cluster.shards import ShardPlan
from kotovec.cluster.spelling import MOST_PIECES
from kotovec.cluster.wordlist import gather
from kotovec.errors import InputError
from kotovec.space import STATIC
from kotovec.store.tokens import Kind, Marking, Pieces, Strings, describe_words
from kotovec.workers import pooling, spelling
from kotovec.workers.encoder import Encoder
from kotovec.workers.inputs import Inputs
from kotovec.workers.tokenizer import Template

from models import JAPANESE_WORDS, KINDS, make_bert

WORDS = [
    "king",
    "kings",
    "the king",
    "queen's",
    "kingking",
    "a",
    "light-house",
    "Kınq",
    "王女",
    "日本語の王",
    "女",
    "x y z",
]
CLOSE = 1e-5  # of the largest number of a vector


def plan_of(folder, words, **options):
    return make_plan(Request(model=str(folder), words=gather(words), device="cpu", layers="all", **options))


def judge_of(plan):
    """Return transformers' tokenizer and model."""
    from transformers import AutoModel, AutoTokenizer

    mecab = {} if plan.mecab_dic is None else {"mecab_kwargs": {"mecab_dic": plan.mecab_dic}}
    tokenizer = AutoTokenizer.from_pretrained(plan.model.source.folder, **mecab)
    return tokenizer, AutoModel.from_pretrained(plan.model.source.folder, dtype=torch.float32).eval()


def encode(plan):
    """Return the vectors of all words by space, as a worker and the driver make them."""
    from kotovec.cluster.rows import _blocks, _matrix

    encoder = Encoder(plan.spec)
    encoded = encoder.encode(0, plan.inputs(ShardPlan(0, 0, len(plan.tokens), ())))
    static = _blocks(plan, _matrix(plan, STATIC), plan.model.source.folder)
    return {**encoded.arrays, "static": np.concatenate([block.copy() for block in static])}


def assert_close(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= CLOSE * np.abs(wanted).max()


POOL = {"mean": lambda rows: rows.mean(axis=0), "first": lambda rows: rows[0], "last": lambda rows: rows[-1]}


@pytest.mark.parametrize("kind", [*KINDS, "minilm"])
def test_pieces_and_vectors_are_those_of_transformers_one_word_at_a_time(kind, tiny_models, minilm):
    folder = minilm if kind == "minilm" else tiny_models[kind]
    words = list(dict.fromkeys([*WORDS, *JAPANESE_WORDS]))
    plans = {way: plan_of(folder, words, pooling=way) for way in POOL}
    tokenizer, model = judge_of(plans["mean"])
    unknown = plans["mean"].tokens.unk_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    alone = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in words}
    kept = [word for word in words if unknown not in alone[word]]
    assert len(kept) > len(words) // 3
    assert plans["mean"].words.about["unspelled"] == len(words) - len(kept)
    matrix = model.get_input_embeddings().weight.detach().numpy().astype(np.float64)
    found = {way: encode(plan) for way, plan in plans.items()}
    for plan in plans.values():
        assert list(plan.tokens.texts) == list(plan.tokens.surfaces) == kept
    for row, word in enumerate(kept):
        pieces = alone[word]
        part = plans["mean"].words.pieces.slice(row, row + 1)
        assert part.ids.tolist() == pieces
        template = plans["mean"].spec.template
        sequence = [*template.prefix, *pieces, *template.suffix]
        assert tokenizer(word)["input_ids"] in (sequence, pieces)  # a decoder's template may have no token of its own
        start = len(template.prefix)
        with torch.inference_mode():
            states = model(torch.tensor([sequence]), output_hidden_states=True).hidden_states
        for way, pool in POOL.items():
            assert_close(found[way]["static"][row], pool(matrix[pieces]))
            for layer, state in enumerate(states):
                wanted = pool(state[0, start : start + len(pieces)].double().numpy())
                assert_close(found[way][f"isolated@{layer}"][row], wanted)


def test_a_word_of_one_token_has_the_vectors_of_that_token(minilm):
    words = ["king", "queen", "woman", "unbelievable"]
    of_words = encode(plan_of(minilm, words))
    vocabulary = make_plan(Request(model=str(minilm), layers="all", device="cpu"))
    rows = [vocabulary.tokens.texts.find(word) for word in words]
    inputs = Inputs.isolated(vocabulary.tokens.ids[rows], vocabulary.spec.template)
    for name, array in Encoder(vocabulary.spec).encode(0, inputs).arrays.items():
        assert_close(of_words[name], array)


def test_a_word_with_a_part_that_is_unknown_is_left_out_and_counted(tiny_models):
    plan = plan_of(tiny_models["bert"], ["king", "kingЖ", "Ж", "queen", "[UNK]", "\u200b", "man"])
    assert list(plan.tokens.texts) == ["king", "queen", "man"]
    assert plan.words.about | {"file": "", "sha256": ""} == {
        "file": "", "sha256": "", "column": "", "pooling": "mean",
        "duplicates": 0, "blanks": 0, "unspelled": 4, "too_long": 0,
    }  # fmt: skip
    assert plan.notices[-1] == (
        "left out as the tokenizer does not know a part of it: 4 words (`kingЖ`, `Ж`, `[UNK]`, …)"
    )


def test_a_list_of_which_no_word_is_known_is_refused(tiny_models):
    with pytest.raises(
        InputError, match="none of the 2 words can be encoded: 2 unknown to the tokenizer, 0 longer than 64"
    ) as caught:
        plan_of(tiny_models["bert"], ["Ж", "Жж"])
    assert caught.value.hint == "give words in the model's language and script"


def test_words_longer_than_the_positions_are_left_out_and_those_that_fit_are_encoded(tmp_path):
    folder = make_bert(tmp_path / "model", max_position_embeddings=16)
    fits, over = "a" * 14, "a" * 15
    plan = plan_of(folder, [over, fits, "king"])
    assert list(plan.tokens.texts) == [fits, "king"]
    assert plan.words.pieces.counts.tolist() == [14, 1]
    assert plan.notices[-1] == f"left out as longer than 14 tokens: 1 word (`{over}`)"
    assert np.isfinite(encode(plan)["isolated@2"]).all()


def test_no_word_has_more_than_512_pieces(tmp_path):
    folder = make_bert(tmp_path / "model", max_position_embeddings=2000)
    words = [" ".join("a" * MOST_PIECES), " ".join("a" * (MOST_PIECES + 1))]
    plan = plan_of(folder, words)
    assert (len(plan.tokens), plan.words.about["too_long"]) == (1, 1)


def test_tokens_that_have_no_row_are_as_unknown(tiny_models):
    plan = plan_of(tiny_models["bert-more-tokens"], ["king", "kotovec", "超電磁砲"])
    assert list(plan.tokens.texts) == ["king"]
    assert plan.words.about["unspelled"] == 2


def test_words_come_in_float16_rounded_once(tiny_models):
    single = encode(plan_of(tiny_models["bert"], WORDS))
    half = encode(plan_of(tiny_models["bert"], WORDS, store_dtype="float16"))
    assert half["isolated@2"].dtype == np.float16
    assert np.array_equal(half["isolated@2"], single["isolated@2"].astype(np.float16))


def test_the_bits_of_a_word_depend_neither_on_its_shard_nor_on_its_neighbours(tiny_models):
    plan = plan_of(tiny_models["bert"], WORDS)
    encoder = Encoder(plan.spec)
    whole = encoder.encode(0, plan.inputs(ShardPlan(0, 0, len(plan.tokens), ()))).arrays
    for row in range(len(plan.tokens)):
        alone = encoder.encode(0, plan.inputs(ShardPlan(0, row, row + 1, ()))).arrays
        assert all(alone[name].tobytes() == whole[name][row : row + 1].tobytes() for name in whole)


@pytest.mark.parametrize("kind", ["bert", "roberta", "japanese-v3", "minilm"])
def test_blocks_give_the_pieces_that_transformers_gives_for_thousands_of_words(kind, tiny_models, minilm):
    from transformers import AutoTokenizer

    folder = minilm if kind == "minilm" else tiny_models[kind]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = np.random.default_rng(2)
    letters = list("abcdefghiklmnopqrstuvwxyzÀéß王女日本がか ー- .Жﬁ①")
    words = ["".join(rng.choice(letters, rng.integers(1, 9))).strip() or "a" for _ in range(2000)]
    blocks = [words[start : start + 300] for start in range(0, 2000, 300)]
    offsets, ids = spelling.split(tokenizer, blocks, max(len(word.encode()) for word in words))
    assert offsets.dtype == np.int64
    assert ids.dtype == np.int32
    for number, word in enumerate(words):
        wanted = tokenizer(word, add_special_tokens=False)["input_ids"]
        assert ids[offsets[number] : offsets[number + 1]].tolist() == wanted


def test_a_tokenizer_that_differs_from_its_backend_is_asked_itself(tiny_models):
    from transformers import AutoTokenizer

    class Shouting:
        def __init__(self, tokenizer):
            self.backend_tokenizer, self._tokenizer = tokenizer.backend_tokenizer, tokenizer

        def __call__(self, words, **options):
            return self._tokenizer([word.replace("man", "king") for word in words], **options)

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["bert"])
    offsets, ids = spelling.split(Shouting(tokenizer), [["man", "king", "woman"]], 5)
    king = tokenizer.convert_tokens_to_ids("king")
    assert ids[offsets[:2]].tolist() == [king, king]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_means_over_blocks_are_the_same_for_any_blocks(step):
    rng = np.random.default_rng(step)
    offsets = np.cumsum([0, *rng.integers(1, 9, 300)])
    vectors = rng.standard_normal((offsets[-1], 5)).astype(np.float32)
    buffer = np.empty((step, 5), dtype=np.float32)  # each block takes the place of the last

    def blocks():
        for start in range(0, len(vectors), step):
            part = vectors[start : start + step]
            buffer[: len(part)] = part
            yield buffer[: len(part)]

    found = np.concatenate(list(pooling.mean_blocks(blocks(), offsets)))
    wanted = [vectors[start:stop].astype(np.float64).mean(axis=0) for start, stop in pairwise(offsets)]
    assert np.allclose(found, wanted, rtol=1e-7, atol=1e-7)
    assert found.tobytes() == pooling.means(vectors, offsets).astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("way", "wanted", "means"),
    [("mean", [1, 4, 5, 8, 9, 10], [0, 1, 3, 6]), ("first", [1, 4, 8], None), ("last", [1, 5, 10], None)],
)
def test_inputs_of_words_are_their_pieces_in_the_template(way, wanted, means):
    pieces, offsets = np.array([11, 21, 22, 31, 32, 33], dtype=np.int32), np.array([0, 1, 3, 6])
    inputs = Inputs.words(pieces, offsets, Template((1,), (2,)), way)
    assert inputs.ids.tolist() == [1, 11, 2, 1, 21, 22, 2, 1, 31, 32, 33, 2]
    assert inputs.offsets.tolist() == [0, 3, 7, 12]
    assert inputs.wanted.tolist() == wanted
    assert (None if inputs.means is None else inputs.means.tolist()) == means
    bare = Inputs.words(pieces, offsets, Template((), ()), way)
    assert bare.ids.tolist() == pieces.tolist()
    long = Inputs.words(pieces, offsets, Template((1, 2), (3, 4, 5)), way)
    assert long.ids.tolist()[:14] == [1, 2, 11, 3, 4, 5, 1, 2, 21, 22, 3, 4, 5, 1]


@pytest.mark.parametrize("means", [[0, 2], [1, 3], [0, 0, 3], [0]])
def test_means_must_cut_the_wanted_positions(means):
    with pytest.raises(InputError, match="means do not cut 3 wanted positions"):
        Inputs(np.arange(3), np.array([0, 3]), np.arange(3), means=np.array(means))


def test_the_table_of_words_has_rows_for_ids_and_no_marks():
    pieces = Pieces(np.array([0, 2, 3, 6]), np.arange(6, dtype=np.int32))
    tokens = describe_words(Strings(["##ing", "▁a", "Ġb"]), pieces)
    assert tokens.ids.tolist() == [0, 1, 2]
    assert list(tokens.surfaces) == ["##ing", "▁a", "Ġb"]
    assert set(tokens.kinds.tolist()) == {Kind.WORD}
    assert tokens.marking is Marking.NONE
    kept = pieces.keep(np.array([True, False, True]))
    assert (kept.offsets.tolist(), kept.ids.tolist()) == ([0, 2, 5], [0, 1, 3, 4, 5])
    assert list(tokens.texts.keep(np.array([False, True, True]))) == ["▁a", "Ġb"]
    assert tokens.texts.longest == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "unknown --pooling `max`"),
        ({"words": None, "pooling": "first"}, "--pooling is of a list of words, and none is given"),
        ({"words": None, "words_column": "x"}, "--words-column is of a list of words, and none is given"),
        ({"token_filter": ("word",)}, "--token-filter is of a vocabulary, and --words names words"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    request = Request(**({"model": "demo", "words": gather(["a"])} | options))
    with pytest.raises(InputError, match=message):
        request.check()


def test_a_million_words_need_no_more_than_their_table(tiny_models, monkeypatch):
    """A shard's inputs are views and arrays of that shard alone."""
    monkeypatch.setattr(replicas, "SHARD_WORDS", {"cpu": 256})
    plan = plan_of(
        tiny_models["bert"], [f"{a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyzabcd"]
    )
    assert [shard.stop - shard.start for shard in plan.shards][:2] == [192, 192]
    inputs = plan.inputs(plan.shards[1])
    assert len(inputs.offsets) == 193
    assert inputs.ids.nbytes + inputs.offsets.nbytes + inputs.wanted.nbytes < 40 * 192 * 3


def test_a_word_that_the_tokenizer_reads_only_in_part_is_left_out(tmp_path):
    """BPE without an unknown token leaves out what it does not know: king😀 becomes king."""
    letters = {char: number for number, char in enumerate("kingdom")}
    tokenizer = Tokenizer(algorithms.BPE({**letters, "in": 7}, [("i", "n")]))
    tokenizer.pre_tokenizer = splitters.Whitespace()
    write(tmp_path / "model", 8, tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast"})
    plan = plan_of(tmp_path / "model", ["king", "king😀", "do", "😀", "knight"])
    assert list(plan.tokens.texts) == ["king", "do"]
    assert plan.words.pieces.ids.tolist() == [0, 7, 3, 4, 5]
    assert plan.words.about["unspelled"] == 3
