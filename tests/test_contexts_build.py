"""`kotovec build --corpus`: vectors of real sentences, against brute force, and the same bytes whatever happens."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute import Brute

import kotovec
from kotovec.cluster import build as builds
from kotovec.cluster import session as sessions
from kotovec.cluster.contexts import sample as samples
from kotovec.cluster.contexts.inline import Inline as Reader
from kotovec.cluster.events import Phase
from kotovec.cluster.finished import is_finished
from kotovec.cluster.inline import Inline
from kotovec.cluster.pool import object_store_bytes
from kotovec.cluster.replica import SUM_BYTES
from kotovec.cluster.request import Request
from kotovec.cluster.run import run
from kotovec.cluster.where import Resources
from kotovec.errors import CorpusError, DamagedError, InputError, NotStoredError, SettingsDifferError
from kotovec.space import Space
from kotovec.store.layout import Layout
from kotovec.workers.encoder import Encoder

from commands import call
from interrupted import Interrupted
from rays import datasets, left_behind

DATA = Path(__file__).parent / "data"
ENGLISH, JAPANESE = DATA / "brown" / "english.txt", DATA / "tatoeba" / "japanese.txt"
# Words of the tiny vocabularies, so that there are whole words, words inside of words, and several in one sentence.
KINGS = [
    "the king is in the city.", "the king and the queen", "the man saw the king, and the king ran.", "a kingsman ran",
    "the woman ran to the city", "king.", "the kings of the city and the queens", "the king is in the city.",
    "the queen (and the king) ran", "walking in the city; the woman", "  the   king\tand the man ", "running kings ran",
]  # fmt: skip
CASES = {
    "bert": (KINGS, "wordpiece"), "japanese-v1": (JAPANESE, "wordpiece"), "japanese-v3": (JAPANESE, "wordpiece"),
    "gpt2": (KINGS, "bytelevel"),
}  # fmt: skip


def lines_of(source, count=200):
    return source if isinstance(source, list) else source.read_text(encoding="utf-8").splitlines()[:count]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def build(model, store, corpus, **options):
    return kotovec.build(
        str(model), store, corpus=corpus, **({"split": "line", "contexts": 3, "workers": 0, "layers": "all"} | options)
    )


@pytest.mark.parametrize("name", CASES)
def test_the_vectors_are_those_of_brute_force(name, tiny_models, tmp_path):
    source, marking = CASES[name]
    lines = lines_of(source)
    with build(tiny_models[name], tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", lines)) as store:
        names = [kind for kind, _ in sorted(enumerate_kinds().items(), key=lambda pair: pair[1])]
        kinds = {int(number): names[kind] for number, kind in zip(store.tokens.ids, store.tokens.kinds, strict=True)}
        brute = Brute(tiny_models[name], lines, limit=3, kinds=kinds, marking=marking)
        spaces = [space for space in store.spaces if space.name == "context"]
        assert spaces == [Space("context", layer) for layer in range(3)]
        n, uses = (store.vectors.part(spaces[0], part) for part in ("n", "uses"))
        rows = {int(number): row for row, number in enumerate(store.tokens.ids)}
        assert {int(store.tokens.ids[row]) for row in np.flatnonzero(n)} == set(brute.contexts)
        assert len(brute.contexts) > 20
        for number, (mean, count) in brute.means().items():
            row = rows[number]
            assert (n[row], uses[row]) == (len(brute.contexts[number]), count)
            for layer, space in enumerate(spaces):
                found = store.array(space)[row]
                np.testing.assert_allclose(found, mean[layer], rtol=0, atol=1e-5 * np.abs(mean[layer]).max())
        if name != "gpt2":
            assert brute.inside  # words that are never seen whole take part


def enumerate_kinds():
    from kotovec.store.tokens import Kind

    return {kind.label: kind.value for kind in Kind}


def test_one_command_makes_all_spaces_and_the_store_tells_where_they_are_from(tiny_models, tmp_path):
    path, corpus = tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", KINGS)
    with build(tiny_models["bert"], path, corpus, layers="last", keep_text=True) as store:
        assert list(map(str, store.spaces)) == ["static", "isolated@2", "context@2"]
        assert store.verify() == []
        king = store.contexts("king")
        assert len(king.sentences) == 3
        assert king.occurrences > 3
        assert set(king.sentences) <= {" ".join(line.split()) for line in KINGS}
        settings = store.vectors.settings(Space("context", 2))
        assert (settings["contexts"], settings["split"], settings["seed"]) == (3, "line", 0)
    assert left_behind(path) == []
    assert Layout(path).contexts.is_file()
    before = datasets(path)
    sampled = {"corpus": (str(corpus),), "split": "line", "contexts": 3, "keep_text": True}
    first, second = Request(model=str(tiny_models["bert"]), **sampled).stages
    assert is_finished(first, path)
    assert is_finished(second, path)
    assert not is_finished(replace(second, contexts=4), path)
    assert not is_finished(replace(second, seed=1), path)
    summary_again = build(tiny_models["bert"], path, corpus, layers="last", keep_text=True)
    summary_again.close()
    assert datasets(path) == before


def test_a_source_of_sentences_that_is_not_there_is_refused_before_anything_is_encoded(tiny_models, tmp_path):
    """The vocabulary was encoded first: hours, on a large model with all layers."""
    path, other = tmp_path / "x.kotovec", tmp_path / "other.kotovec"
    with pytest.raises(InputError, match=r"there is no file `\S*/none\.txt`"):
        build(tiny_models["bert"], path, tmp_path / "none.txt")
    kotovec.build(str(tiny_models["bert"]), other, spaces="static", workers=0).close()
    with pytest.raises(NotStoredError, match=r"/other\.kotovec has no contexts\nhint: add them with `"):
        kotovec.build(str(tiny_models["bert"]), path, contexts_from=other, workers=0)
    assert not path.exists()
    corpus = write(tmp_path / "corpus.txt", KINGS)
    build(tiny_models["bert"], path, corpus).close()
    corpus.unlink()  # of a complete store, nothing is read
    build(tiny_models["bert"], path, corpus).close()


def test_a_corpus_that_is_of_no_use_leaves_a_complete_store_as_it_was(tiny_models, tmp_path):
    """Its pieces stayed: whatever was to be added then was refused, and --overwrite deleted what was there."""
    path, corpus = tmp_path / "x.kotovec", tmp_path / "c.jsonl"
    kotovec.build(str(tiny_models["bert"]), path, layers="all", workers=0).close()
    before = datasets(path)
    corpus.write_text("".join(json.dumps({"text": line}) + "\n" for line in KINGS), encoding="utf-8")
    with pytest.raises(InputError, match="the corpus has no usable sentence"):
        build(tiny_models["bert"], path, corpus, spaces="context", corpus_field="nope")
    assert left_behind(path) == []
    assert datasets(path) == before
    with build(tiny_models["bert"], path, corpus, spaces="context") as store:
        assert [space.name for space in store.spaces] == ["static", *["isolated"] * 3, *["context"] * 3]


def test_contexts_that_the_corpus_no_longer_gives_are_refused_until_it_does(tiny_models, tmp_path):
    path, corpus = tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", KINGS)
    build(tiny_models["bert"], path, corpus, layers="last").close()
    write(corpus, KINGS[:5])
    with pytest.raises(SettingsDifferError, match="has contexts of other sentences than the corpus gives now"):
        build(tiny_models["bert"], path, corpus, layers="1", spaces="context")
    write(corpus, KINGS)
    build(tiny_models["bert"], path, corpus, layers="1", spaces="context").close()


def test_a_sample_that_was_lost_is_drawn_again_for_more_layers_if_it_is_the_same(tiny_models, tmp_path):
    path, corpus = tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", KINGS)
    build(tiny_models["bert"], path, corpus, layers="last", spaces="context").close()
    before = datasets(path)
    Layout(path).contexts.unlink()
    with pytest.raises(DamagedError, match=r"has context@2 without contexts\.h5, its sentences\nhint: build it again"):
        build(tiny_models["bert"], path, corpus, layers="last", spaces="context", keep_text=True)
    write(corpus, KINGS[:5])
    with pytest.raises(SettingsDifferError, match="has contexts of other sentences than the corpus gives now"):
        build(tiny_models["bert"], path, corpus, layers="1", spaces="context")
    write(corpus, KINGS)
    with build(tiny_models["bert"], path, corpus, layers="1", spaces="context") as store:
        assert store.verify() == []
    assert before.items() <= datasets(path).items()


def test_an_unfinished_build_of_contexts_is_named_and_overwriting_says_what_it_drops(tiny_models, tmp_path, capsys):
    path, corpus = tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", KINGS)
    kotovec.build(str(tiny_models["bert"]), path, layers="all", workers=0).close()
    request = Request(
        model=str(tiny_models["bert"]), spaces="context", corpus=(str(corpus),), split="line", contexts=3, device="cpu"
    )
    with pytest.raises(Interrupted):
        run(request, path, Resources(workers=0), report=interrupting("contexts"))
    with pytest.raises(SettingsDifferError, match=r"has an unfinished build of contexts\nhint: run its own command"):
        kotovec.build(str(tiny_models["bert"]), path, template="this is a {}.", workers=0)
    write(corpus, KINGS[:5])
    with pytest.raises(CorpusError, match="has changed since the scan began"):
        run(request, path, Resources(workers=0))
    done = call(
        capsys, "build", tiny_models["bert"], "--spaces", "context", "--corpus", corpus, "--store", path, "--split",
        "line", "--workers", 0, "--overwrite",
    )  # fmt: skip
    assert (done.code, "static, isolated will not be in the new one" in done.err) == (0, True)
    with kotovec.open(path) as store:
        assert [space.name for space in store.spaces] == ["context"]


def interrupting(phase):
    """Return a report that interrupts a build as it comes to a phase."""

    def report(event):
        if isinstance(event, Phase) and event.name == phase:
            raise Interrupted

    return report


def test_a_dry_run_names_the_corpus_and_leaves_nothing(tiny_models, tmp_path, capsys):
    corpus, path = write(tmp_path / "corpus.txt", KINGS), tmp_path / "x.kotovec"
    asked = ("build", tiny_models["bert"], "--corpus", corpus, "--contexts", 5, "--store", path, "--dry-run")
    lines = call(capsys, *asked).out.splitlines()
    pairs = dict(line.strip().split(maxsplit=1) for line in lines if line.strip())
    assert pairs["spaces"] == "static; isolated, layer 2"
    assert (pairs["then"], pairs["corpus"]) == ("context, layer 2", "1 file, 0.0 MB")
    assert pairs["contexts"] == "up to 5 sentences for each token"
    (then,) = json.loads(call(capsys, *asked, "--json").out)["then"]
    assert then["spaces"] == ["context@2"]
    assert not path.exists()


def test_other_settings_are_refused_and_more_layers_need_the_same_sentences(tiny_models, tmp_path):
    path, corpus = tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", KINGS)
    build(tiny_models["bert"], path, corpus, layers="last").close()
    with pytest.raises(SettingsDifferError, match=r"contexts was 3, now 4"):
        build(tiny_models["bert"], path, corpus, layers="0", contexts=4)
    other = write(tmp_path / "other.txt", KINGS)
    with pytest.raises(SettingsDifferError, match=r"\(corpus was \S*/corpus\.txt, now \S*/other\.txt\)"):
        build(tiny_models["bert"], path, other, layers="0")
    with build(tiny_models["bert"], path, corpus, layers="0,2") as store:
        assert [str(space) for space in store.spaces] == [
            "static",
            "isolated@0",
            "isolated@2",
            "context@0",
            "context@2",
        ]
    write(corpus, KINGS[:5])
    with pytest.raises(SettingsDifferError, match="has contexts of other sentences than the corpus gives now"):
        build(tiny_models["bert"], path, corpus, layers="1", spaces="context")


def test_any_number_of_workers_and_any_shards_give_the_same_bytes(tiny_models, employ, tmp_path):
    employ(Encoder)
    corpus = write(tmp_path / "corpus.txt", lines_of(JAPANESE))
    build(tiny_models["japanese-v3"], tmp_path / "a.kotovec", corpus, layers="1,2").close()
    expected = datasets(tmp_path / "a.kotovec")
    for workers in (1, 2):
        path = tmp_path / f"{workers}.kotovec"
        build(tiny_models["japanese-v3"], path, corpus, layers="1,2", workers=workers).close()
        assert datasets(path) == expected


def test_all_stages_of_a_build_have_one_ray(tiny_models, tmp_path, monkeypatch):
    """The session of each stage is a private one, the first of which is held until the last stage."""
    monkeypatch.setattr(sessions, "_running", lambda: bool(held))
    held, asked = [], []

    @contextlib.contextmanager
    def hold(ray, options, failure, folder, **_):
        asked.append(options)
        held.append(options)
        try:
            yield
        finally:
            held.pop()

    monkeypatch.setattr(sessions, "_hold", hold)
    monkeypatch.setattr(builds, "Pool", lambda order, *_: Inline(order.spec))
    monkeypatch.setattr(samples, "Tasks", lambda scanner, corpus, *_: Reader(scanner, corpus))
    corpus = (str(write(tmp_path / "corpus.txt", KINGS)),)
    request = Request(model=str(tiny_models["bert"]), corpus=corpus, split="line", contexts=3)
    run(request, tmp_path / "x.kotovec", Resources(workers=1))
    assert [options["object_store_memory"] for options in asked] == [object_store_bytes(1, SUM_BYTES["cpu"])]
    assert held == []
    with build(tiny_models["bert"], tmp_path / "y.kotovec", corpus[0], layers="last") as other:
        assert datasets(tmp_path / "x.kotovec") == datasets(other.path)


def test_all_contexts_of_another_store_are_taken_also_more_than_are_usual(tiny_models, tmp_path):
    lines = [f"the king {'ran ' * number}to the city" for number in range(1, 45)]
    corpus = write(tmp_path / "corpus.txt", lines)
    build(tiny_models["bert"], tmp_path / "a.kotovec", corpus, contexts=40, keep_text=True, layers="last").close()
    other = kotovec.build(
        str(tiny_models["bert"]), tmp_path / "b.kotovec", contexts_from=tmp_path / "a.kotovec", workers=0
    )
    with other, kotovec.Store.open(tmp_path / "a.kotovec") as first:
        counts = [each.vectors.part(each.space("context"), "n") for each in (first, other)]
        assert counts[0].max() == 40
        np.testing.assert_array_equal(*counts)


def test_the_sentences_of_a_store_serve_another_model(tiny_models, tmp_path):
    corpus = write(tmp_path / "corpus.txt", lines_of(JAPANESE))
    first, second = tmp_path / "v1.kotovec", tmp_path / "v3.kotovec"
    with build(tiny_models["japanese-v1"], first, corpus, layers="last") as store:
        plain = datasets(first)
        assert json.dumps(store.info())
    with pytest.raises(InputError, match="does not keep the sentences of its contexts"):
        kotovec.build(str(tiny_models["japanese-v3"]), second, contexts_from=first, workers=0)
    with pytest.raises(SettingsDifferError, match=r"v1\.kotovec was built without --keep-text"):
        build(tiny_models["japanese-v1"], first, corpus, layers="last", keep_text=True)
    build(tiny_models["japanese-v1"], first, corpus, layers="last", keep_text=True, overwrite=True).close()
    assert datasets(first) == plain
    with (
        kotovec.build(str(tiny_models["japanese-v3"]), second, contexts_from=first, workers=0, keep_text=True) as other,
        kotovec.Store.open(first) as store,
    ):
        assert "context@2" in map(str, other.spaces)
        same = [term for term in ("人", "彼", "時間", "日本") if store.contexts(term).sentences]
        assert same
        for term in same:
            assert set(other.contexts(term).sentences) <= set(store.contexts(term).sentences)
            assert other.contexts(term).sentences
