"""Means over contexts are those of transformers' forward pass, one sentence at a time, whatever encodes them."""

import shutil

import h5py
import numpy as np
import pytest
from contexts import matcher_of, reference, sample_of

from kotovec.cluster.build import Resources, build
from kotovec.cluster.contexts import encode
from kotovec.cluster.contexts.encode import windows
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import InputError, NonFiniteError, NotStoredError, SettingsDifferError
from kotovec.space import Space
from kotovec.store import Store, means
from kotovec.store.contexts import read_contexts
from kotovec.store.layout import FOLD, Layout
from kotovec.store.vectors import Vectors

from commands import call
from interrupted import Interrupted
from models import DATA, make_bert, save

ENGLISH = [
    "the king and the queen of the kingdom",
    "a man and a woman in the city",
    "the prince is a boy, the princess is a girl.",
    "kings and queens in the palaces",
    "the teacher of the school, the student of the teacher",
    "water and light in the morning",
    "night music in the house",
    "a river in the summer, a river in the winter",
    "the man the woman the boy the girl the king",
    "paper",
]
INLINE = Resources(workers=0)


def with_sample(folder, sentences, limit=50, **options):
    plan = make_plan(Request(model=str(folder), device="cpu", layers="all", **options))
    return plan.with_sample(sample_of(plan, sentences, limit), matcher_of(plan))


def datasets(store, layers):
    """Return the bytes of everything in the spaces' files but what says when they were made."""
    found = {}
    for layer in layers:
        with h5py.File(Layout(store).space(Space("context", layer))) as file:
            found |= {(layer, name): file[name][()].tobytes() for name in file}
    return found


def check(plan, store, pooling="mean"):
    """Compare a store with transformers' forward pass."""
    layers = plan.spec.layers
    expected, counts, energies = reference(plan, plan.sentences.sample, layers, pooling)
    vectors = Vectors(store)
    assert counts.max() > 1
    assert (counts == 0).any()
    for index, layer in enumerate(layers):
        space = Space("context", layer)
        found = vectors.array(space)
        assert found.dtype == np.float32
        seen = counts > 0
        errors = np.linalg.norm(found[seen] - expected[index][seen], axis=1)
        assert (errors / np.linalg.norm(expected[index][seen], axis=1)).max() <= 1e-5
        assert not found[~seen].any()
        np.testing.assert_array_equal(vectors.part(space, "uses"), counts)
        np.testing.assert_array_equal(vectors.part(space, "n"), plan.sentences.sample.counts)
        np.testing.assert_allclose(vectors.part(space, "energy"), energies[index], rtol=1e-5)
        np.testing.assert_array_equal(vectors.present(space), seen)


@pytest.fixture(scope="module")
def distilbert(tiny_models, tmp_path_factory):
    """A model that transformers computes, with WordPiece."""
    from transformers import DistilBertConfig, DistilBertModel

    folder = tmp_path_factory.mktemp("distilbert")
    for file in tiny_models["bert"].glob("*tokenizer*"):
        shutil.copy(file, folder)
    rows = make_plan(Request(model=str(tiny_models["bert"]))).spec.rows
    small = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 66}
    return save(DistilBertModel, DistilBertConfig(vocab_size=rows, pad_token_id=0, **small), folder, 0)


def sentences_of(name):
    if name.startswith("japanese"):
        lines = (DATA / "tatoeba" / "japanese.txt").read_text(encoding="utf-8").splitlines()
        return list(dict.fromkeys(line for line in lines if line))[:40]
    return ENGLISH


@pytest.mark.parametrize("name", ["bert", "distilbert", "japanese-v1", "japanese-v3"])
def test_every_mean_is_that_of_transformers_forward_one_sentence_at_a_time(name, tiny_models, tmp_path, request):
    folder = request.getfixturevalue("distilbert") if name == "distilbert" else tiny_models[name]
    plan = with_sample(folder, sentences_of(name), limit=6)
    assert (plan.spec.architecture is None) == (name == "distilbert")
    store = tmp_path / "a.kotovec"
    build(plan, store, INLINE)
    check(plan, store)
    kept = read_contexts(Layout(store).contexts, Vectors(store).attributes["identity"])
    assert kept.digest == plan.sentences.sample.digest
    assert list(kept.texts) == list(plan.sentences.sample.texts)
    assert kept.ids is None
    assert not Layout(store).shards.exists()


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_words_of_several_pieces_are_pooled_where_they_stand(pooling, tiny_models, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("king\nkings\nqueens\npalaces\nteacher\nriver\nking and\nnowhere\n", encoding="utf-8")
    plan = with_sample(tiny_models["bert"], ENGLISH, words=words, pooling=pooling)
    assert plan.tokens.pieces.counts.max() > 1
    build(plan, tmp_path / "a.kotovec", INLINE)
    check(plan, tmp_path / "a.kotovec", pooling)


def test_workers_shards_folds_and_interrupts_change_no_byte(tiny_models, tmp_path, monkeypatch, one_ray):
    plan = with_sample(tiny_models["bert"], ENGLISH)
    layers = plan.spec.layers
    monkeypatch.setattr(encode, "MOST_SENTENCES", 2)
    small = with_sample(tiny_models["bert"], ENGLISH)
    assert len(plan.shards) == 1
    assert len(small.shards) == 5
    build(small, tmp_path / "0.kotovec", INLINE)
    expected = datasets(tmp_path / "0.kotovec", layers)
    for workers in (1, 2):
        build(small, tmp_path / f"{workers}.kotovec", Resources(workers=workers))
        assert datasets(tmp_path / f"{workers}.kotovec", layers) == expected
    folds = []
    real = means.fold
    monkeypatch.setattr(means, "fold", lambda folder: folds.append(folder) or real(folder))
    monkeypatch.setattr(type(small), "sum_bytes", property(lambda _: 1))  # every shard is folded
    build(small, tmp_path / "folded.kotovec", INLINE)
    assert len(folds) == 5
    assert datasets(tmp_path / "folded.kotovec", layers) == expected
    interrupt(small, tmp_path / "again.kotovec", 2)
    seen = []
    build(small, tmp_path / "again.kotovec", INLINE, report=seen.append)
    assert [str(each.text) for each in seen if hasattr(each, "text")] == [
        "resuming with 3 of 5 shards from an earlier run"
    ]
    assert datasets(tmp_path / "again.kotovec", layers) == expected


def interrupt(plan, store, shards):
    """Begin a build, and interrupt it when it reports the shard after so many."""

    def stop(event):
        if getattr(event, "done", 0) > plan.shards[shards - 1].stop:
            raise Interrupted

    with pytest.raises(Interrupted):
        build(plan, store, INLINE, report=stop)


def test_what_a_kill_between_fold_and_shards_leaves_and_a_damaged_fold(tiny_models, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "MOST_SENTENCES", 2)
    plan = with_sample(tiny_models["bert"], ENGLISH)
    build(plan, tmp_path / "whole.kotovec", INLINE)
    expected = datasets(tmp_path / "whole.kotovec", plan.spec.layers)
    store = tmp_path / "a.kotovec"
    interrupt(plan, store, 3)
    shards = Layout(store).shards
    kept = {path.name: path.read_bytes() for path in shards.glob("0*.h5")}
    assert len(kept) == 4
    means.fold(means.Folder(shards, plan.fingerprint, plan.encoded, len(plan.tokens), (0, 1, 2, 3)))
    assert [path.name for path in shards.glob("*.h5")] == [FOLD]
    (shards / "000001.h5").write_bytes(kept["000001.h5"])  # in the fold, too: it must not be counted twice
    shutil.copytree(store, tmp_path / "damaged.kotovec")
    seen = []
    build(plan, store, INLINE, report=seen.append)
    assert "resuming with 4 of 5 shards from an earlier run" in [getattr(each, "text", "") for each in seen]
    assert datasets(store, plan.spec.layers) == expected
    fold = Layout(tmp_path / "damaged.kotovec").shards / FOLD
    raw = bytearray(fold.read_bytes())
    raw[len(raw) // 2] ^= 1
    fold.write_bytes(raw)
    build(plan, tmp_path / "damaged.kotovec", INLINE)
    assert datasets(tmp_path / "damaged.kotovec", plan.spec.layers) == expected


def test_sentences_longer_than_the_model_are_cut_around_their_items(tmp_path):
    folder = make_bert(tmp_path / "short", max_position_embeddings=14)
    long = "the king " + "water " * 9 + "and the queen " + "light " * 20 + "prince"
    plan = with_sample(folder, [*ENGLISH, long])
    assert plan.sentences.most == 12
    notices = []
    build(plan, tmp_path / "a.kotovec", INLINE, report=lambda event: notices.append(getattr(event, "text", "")))
    assert "1 sentence longer than 12 tokens: windows around the items are encoded" in notices
    vectors, prince = Vectors(tmp_path / "a.kotovec"), plan.tokens.texts.find("prince")
    assert vectors.part(Space("context", 2), "n")[prince] == 2
    sample = plan.sentences.sample
    number = list(sample.texts).index(long)
    ids = sample.ids[sample.id_offsets[number] : sample.id_offsets[number + 1]]
    expected = [vector_of(folder, plan, ids[-12:], 11)]
    other = list(sample.texts).index(ENGLISH[2])
    ids = sample.ids[sample.id_offsets[other] : sample.id_offsets[other + 1]]
    expected.append(vector_of(folder, plan, ids, 1))
    np.testing.assert_allclose(vectors.array(Space("context", 2))[prince], np.mean(expected, axis=0), atol=2e-5)


def vector_of(folder, plan, ids, position):
    """Return a hidden state of the last layer, by transformers."""
    import torch
    from transformers import AutoModel

    prefix, suffix = plan.settings["template"]
    sequence = torch.tensor([[*prefix, *ids.tolist(), *suffix]])
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(sequence).last_hidden_state
    return states[0, len(prefix) + position].numpy()


def test_windows_hold_every_item_with_context_on_both_sides():
    offsets = np.array([0, 5, 105])
    sentences, starts = np.array([0, 1, 1, 1, 1]), np.array([2, 5, 50, 58, 104])
    begins, ends, owners = windows(offsets, sentences, starts, np.array([1, 1, 3, 2, 1]), 20)
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == [(0, 5), (5, 25), (45, 65), (85, 105)]
    assert owners.tolist() == [0, 1, 2, 2, 3]


def test_a_sample_of_other_items_or_another_tokenizer_is_refused(tiny_models):
    plan = make_plan(Request(model=str(tiny_models["bert"]), device="cpu"))
    fewer = make_plan(Request(model=str(tiny_models["bert"]), device="cpu", token_filter=("word",)))
    sample = sample_of(plan, ENGLISH)
    with pytest.raises(InputError, match="of other items"):
        fewer.with_sample(sample, matcher_of(fewer))
    shifted = sample_of(plan, ENGLISH)
    object.__setattr__(shifted, "ids", np.roll(sample.ids, 1))
    planned = plan.with_sample(shifted, matcher_of(plan))
    with pytest.raises(InputError, match="drawn with another tokenizer"):
        planned.inputs(planned.shards[0])


def test_contexts_are_added_to_a_store_and_another_sample_is_refused(tiny_models, tmp_path, capsys):
    store = tmp_path / "a.kotovec"
    plan = make_plan(Request(model=str(tiny_models["bert"]), device="cpu"))
    build(plan, store, INLINE)
    added = plan.with_sample(sample_of(plan, ENGLISH, 2), matcher_of(plan))
    summary = build(added, store, INLINE)
    assert (summary.sentences, summary.finished_before) == (len(added.sentences.order), False)
    assert build(added, store, INLINE).finished_before
    with Store.open(store) as opened:
        assert list(map(str, opened.spaces)) == ["static", "isolated@2", "context@2"]
        info = opened.info()
        assert [index["space"] for index in info["indexes"] if index["usable"]] == ["context@2", "isolated@2", "static"]
        counts = added.sentences.sample.counts
        assert info["contexts"]["context@2"]["none"] == (counts == 0).sum()
        assert info["contexts"]["context@2"]["complete"] == (counts == 2).sum()
        found = {hit.id for hit in opened.search("king - man + woman", space="context", k=len(opened)).results}
        assert found == set(opened.tokens.ids[counts > 0].tolist())
        with pytest.raises(NotStoredError, match="has no vector in context@2"):
            opened.search("東京", space="context")
    shown = call(capsys, "info", "--store", store).out
    assert f"{(counts == 0).sum():,} with none" in shown
    assert "self-similarity" in shown
    assert "reliability" in shown
    other = plan.with_sample(sample_of(plan, ENGLISH, 1), matcher_of(plan))
    with pytest.raises(SettingsDifferError, match="the sentences of the corpus differ"):
        build(other, store, INLINE)


def test_half_precision_is_stored_where_it_is_asked_for(tiny_models, tmp_path):
    plan = make_plan(Request(model=str(tiny_models["bert"]), device="cpu", store_dtype="float16"))
    plan = plan.with_sample(sample_of(plan, ENGLISH), matcher_of(plan))
    build(plan, tmp_path / "a.kotovec", INLINE)
    full = with_sample(tiny_models["bert"], ENGLISH)
    build(full, tmp_path / "b.kotovec", INLINE)
    half, single = (Vectors(tmp_path / name).array(Space("context", 2)) for name in ("a.kotovec", "b.kotovec"))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, single.astype(np.float16))


def test_a_model_that_gives_nan_names_the_tokens(tmp_path):
    folder = make_bert(tmp_path / "nan")
    spoil(folder, make_plan(Request(model=str(folder))).tokens.texts.find("river"))
    plan = with_sample(folder, ENGLISH)
    with pytest.raises(NonFiniteError, match=r"gave NaN or Inf for .*'river' \(id \d+\)"):
        build(plan, tmp_path / "a.kotovec", INLINE)


def spoil(folder, row):
    """Put NaN into the embedding of a token."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["embeddings.word_embeddings.weight"][row] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
