"""`kotovec build --prototypes`: centres against brute force, the same bytes whatever happens, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute import Brute
from contexts import matcher_of, sample_of

import kotovec
from kotovec.cluster.build import Resources, build
from kotovec.cluster.contexts import encode
from kotovec.cluster.finished import is_finished
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import InputError, SettingsDifferError
from kotovec.space import PROTOTYPES, Space
from kotovec.store import division, means, points, prototypes
from kotovec.store.layout import FOLD, POINTS, Layout
from kotovec.store.tokens import Kind
from kotovec.store.vectors import Vectors
from kotovec.workers.encoder import Encoder

from commands import call
from interrupted import Interrupted
from rays import datasets, left_behind

DATA = Path(__file__).parent / "data"
JAPANESE = DATA / "tatoeba" / "japanese.txt"
KINGS = [
    "the king is in the city.", "the king and the queen", "the man saw the king, and the king ran.", "a kingsman ran",
    "the woman ran to the city", "king.", "the kings of the city and the queens", "the king is in the city.",
    "the queen (and the king) ran", "walking in the city; the woman", "  the   king\tand the man ", "running kings ran",
]  # fmt: skip
INLINE = Resources(workers=0)


def write(path, lines=KINGS):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def made(model, store, corpus, **options):
    return kotovec.build(
        str(model), store, corpus=corpus,
        **({"split": "line", "contexts": 6, "workers": 0, "layers": "all", "prototypes": 3} | options),
    )  # fmt: skip


@pytest.fixture(scope="module")
def king(tiny_models, tmp_path_factory):
    """A store with prototypes of KINGS in all layers, and its corpus."""
    folder = tmp_path_factory.mktemp("king")
    corpus = write(folder / "corpus.txt")
    made(tiny_models["bert"], folder / "x.kotovec", corpus, keep_text=True).close()
    return folder / "x.kotovec", corpus


def test_info_says_how_many_there_are(king, capsys):
    with kotovec.open(king[0]) as store:
        found = points_of(store, Space(PROTOTYPES, 1))
    shown = " ".join(call(capsys, "info", "--store", king[0]).out.split())
    centres, items = len(found.sizes), int((np.diff(found.offsets) > 0).sum())
    mean = f"a mean of {found.sizes.mean():.1f} contexts each"
    assert f"prototypes@1 {centres} centres of {items} tokens, up to 3 each; {mean}" in shown


def copied(king, tmp_path):
    return Path(shutil.copytree(king[0], tmp_path / "x.kotovec"))


def kinds_of(store):
    return {int(row): Kind(kind).label for row, kind in zip(store.tokens.ids, store.tokens.kinds, strict=True)}


@pytest.mark.parametrize(("name", "marking"), [("bert", "wordpiece"), ("japanese-v3", "wordpiece")])
def test_the_centres_are_means_of_the_nearest_contexts_of_brute_force(name, marking, tiny_models, tmp_path):
    lines = KINGS if name == "bert" else JAPANESE.read_text(encoding="utf-8").splitlines()[:60]
    with made(tiny_models[name], tmp_path / "x.kotovec", write(tmp_path / "corpus.txt", lines)) as store:
        brute = Brute(tiny_models[name], lines, limit=6, kinds=kinds_of(store), marking=marking)
        means, points = brute.means(), brute.points()
        spaces = [space for space in store.spaces if space.name == PROTOTYPES]
        assert spaces == [Space(PROTOTYPES, layer) for layer in range(3)]
        divided = 0
        for space in spaces:
            found = points_of(store, space)
            for row, number in enumerate(store.tokens.ids.tolist()):
                centres = found.of(row)
                if number not in points:
                    assert (len(centres.vectors), len(centres.labels)) == (0, 0)
                    continue
                known = points[number][space.layer]
                divided += check(known, centres)
                mean = means[number][0][space.layer]
                np.testing.assert_allclose(store.array(space)[row], mean, rtol=0, atol=1e-5 * np.abs(mean).max())
        assert divided > 20
        every = [store.array(each) for each in (spaces[1], "context@1")]
        np.testing.assert_array_equal(*every)


def points_of(store, space):
    return prototypes.of_parts(store.vectors.parts(space))


def check(known, centres):
    """Check the centres of an item against the vectors (n, D) of its contexts; return whether it has fewer of them."""
    scale = np.linalg.norm(known, axis=1).max()
    distinct = len(np.unique(np.round(known / scale, 5), axis=0))
    assert len(centres.labels) == len(known)
    np.testing.assert_array_equal(np.bincount(centres.labels), centres.sizes)
    assert list(centres.sizes) == sorted(centres.sizes, reverse=True)
    assert len(centres.sizes) == min(3, distinct)
    for label, vector in enumerate(centres.vectors):
        mean = known[centres.labels == label].mean(axis=0)
        np.testing.assert_allclose(vector, mean, rtol=0, atol=1e-5 * np.abs(mean).max())
    distances = np.linalg.norm(known[:, np.newaxis] - centres.vectors.astype(np.float64), axis=2)
    own = distances[np.arange(len(known)), centres.labels]
    assert (own <= distances.min(axis=1) + 1e-5 * scale).all()
    return len(centres.sizes) < len(known)


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_a_query_is_that_of_numpy_over_all_centres(metric, king):
    with kotovec.open(king[0]) as store:
        found = points_of(store, Space(PROTOTYPES, 2))
        centres = found.centres.astype(np.float64)
        owners = np.repeat(np.arange(len(store)), np.diff(found.offsets))
        terms = ("king", "king - man + woman", "the", "queen + city")
        for term, answer in zip(terms, store.search_many(terms, space=PROTOTYPES, metric=metric, k=25), strict=True):
            query = store.vector(term, "context")
            np.testing.assert_array_equal(store.vector(term, PROTOTYPES), query)
            lengths = np.linalg.norm(centres, axis=1) * np.linalg.norm(query)
            scores = {
                "l2": ((centres - query) ** 2).sum(axis=1), "ip": centres @ query, "cosine": centres @ query / lengths,
            }[metric]  # fmt: skip
            pick = min if metric == "l2" else max
            best = {row: pick(scores[owners == row]) for row in set(owners.tolist())}
            order = sorted(best, key=lambda row: (best[row] if metric == "l2" else -best[row], row))[:25]
            assert [hit.id for hit in answer.results] == store.tokens.ids[order].tolist()
            np.testing.assert_allclose([hit.score for hit in answer.results], [best[row] for row in order], rtol=1e-9)
        rows = [int(store.question(term).rows[0]) for term in ("king", "queen")]
        keep = np.arange(len(store)) % 2 == 0
        (near,) = store.nearest(rows=rows[:1], space=PROTOTYPES, k=len(store), skip=[np.array([*rows, -1])], keep=keep)
        assert set(near.rows.tolist()) == {row for row in set(owners.tolist()) - set(rows) if keep[row]}


def test_the_means_have_the_bytes_of_a_build_without_prototypes_which_completes(king, tiny_models, tmp_path):
    path = tmp_path / "x.kotovec"
    with pytest.raises(InputError, match="--prototypes is 6"):
        made(tiny_models["bert"], path, king[1], prototypes=6)
    made(tiny_models["bert"], path, king[1], prototypes=None).close()
    expected = datasets(king[0])
    plain = datasets(path)
    assert plain == {name: each for name, each in expected.items() if PROTOTYPES not in str(name)}
    asked = {"model": str(tiny_models["bert"]), "corpus": (str(king[1]),), "split": "line", "contexts": 6}
    stage = Request(**asked, layers="all", prototypes=3).stages[-1]
    assert not is_finished(stage, path)
    made(tiny_models["bert"], path, king[1]).close()
    assert datasets(path) == expected
    assert left_behind(path) == []
    assert is_finished(stage, path)
    assert is_finished(replace(stage, prototypes=None), path)
    assert not is_finished(replace(stage, prototypes=2), path)
    with pytest.raises(SettingsDifferError, match=r"prototypes was 3, now 2"):
        made(tiny_models["bert"], path, king[1], prototypes=2)


@pytest.mark.parametrize("words", [None, ["king", "kings", "kingsman", "the king", "city", "ran", "nowhere"]])
def test_one_prototype_is_the_mean_of_the_contexts_and_not_of_the_uses(words, king, tiny_models, tmp_path):
    options = {"prototypes": 1, "layers": "last", "words": words}
    with made(tiny_models["bert"], tmp_path / "x.kotovec", king[1], **options) as store:
        found = points_of(store, Space(PROTOTYPES, 2))
        n, uses = (store.vectors.part(Space(PROTOTYPES, 2), name) for name in ("n", "uses"))
        assert np.diff(found.offsets).tolist() == (n > 0).tolist()
        assert found.sizes.tolist() == n[n > 0].tolist()
        errors = np.abs(found.centres - store.array("context")[n > 0]).max(axis=1)
        assert errors[(uses == n)[n > 0]].max() < 1e-6
        assert errors[(uses > n)[n > 0]].max() > 1e-4


def test_the_sentences_of_another_store_are_divided_alike_and_seeds_draw_other_starts(king, tiny_models, tmp_path):
    other = tmp_path / "other.kotovec"
    model = str(tiny_models["bert"])
    kotovec.build(model, other, contexts_from=king[0], layers="all", prototypes=3, workers=0).close()
    assert datasets(other) == datasets(king[0])
    plan = with_sample(model, KINGS)
    sample = plan.sentences.sample
    numbers = division.draws(sample, 0, len(plan.tokens), 3)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert numbers[sample.counts > 1].std() == pytest.approx(12**-0.5, abs=0.02)
    reseeded = division.draws(replace(sample, made={"seed": 1}), 0, len(plan.tokens), 3)
    assert not (numbers == reseeded).any()
    np.testing.assert_array_equal(numbers[5:9], division.draws(sample, 5, 4, 3))


def with_sample(folder, sentences, **options):
    plan = make_plan(Request(model=str(folder), device="cpu", layers="all", **options))
    sample = sample_of(plan, sentences, 6)
    return replace(plan, prototypes=3, settings=plan.settings | {PROTOTYPES: 3}).with_sample(sample, matcher_of(plan))


def interrupt(plan, store, shards):
    """Begin a build, and interrupt it when it reports the shard after so many."""

    def stop(event):
        if getattr(event, "done", 0) > plan.shards[shards - 1].stop:
            raise Interrupted

    with pytest.raises(Interrupted):
        build(plan, store, INLINE, report=stop)


@pytest.fixture
def small(tiny_models, monkeypatch, tmp_path):
    """A plan of many shards and blocks, and the bytes of its store."""
    monkeypatch.setattr(encode, "MOST_SENTENCES", 2)
    monkeypatch.setattr(points, "BLOCK_BYTES", 4 * 32 * 9)
    plan = with_sample(tiny_models["bert"], list(dict.fromkeys(KINGS)))
    build(plan, tmp_path / "calm.kotovec", INLINE)
    return plan, datasets(tmp_path / "calm.kotovec")


def test_workers_shards_blocks_folds_and_interrupts_change_no_byte(small, tiny_models, tmp_path, monkeypatch, employ):
    plan, expected = small
    assert len(plan.shards) == 6
    employ(Encoder)
    build(plan, tmp_path / "2.kotovec", Resources(workers=2))
    assert datasets(tmp_path / "2.kotovec") == expected
    interrupt(plan, tmp_path / "again.kotovec", 2)
    build(plan, tmp_path / "again.kotovec", INLINE)
    assert datasets(tmp_path / "again.kotovec") == expected
    assert left_behind(tmp_path / "again.kotovec") == []
    monkeypatch.setattr(type(plan), "sum_bytes", property(lambda _: 1))  # every shard is folded
    interrupt(plan, tmp_path / "folded.kotovec", 3)
    folder = Layout(tmp_path / "folded.kotovec").shards
    assert sorted(path.name for path in folder.glob("*.h5")) == [
        FOLD, *(f"{POINTS}{number:06d}.h5" for number in range(4))
    ]  # fmt: skip
    build(plan, tmp_path / "folded.kotovec", INLINE)
    assert datasets(tmp_path / "folded.kotovec") == expected
    monkeypatch.undo()
    whole = with_sample(tiny_models["bert"], list(dict.fromkeys(KINGS)))
    assert len(whole.shards) == 1
    build(whole, tmp_path / "whole.kotovec", INLINE)
    found = datasets(tmp_path / "whole.kotovec")
    assert found.keys() == expected.keys()
    with kotovec.open(tmp_path / "whole.kotovec") as store, kotovec.open(tmp_path / "calm.kotovec") as other:
        pair = [points_of(each, Space(PROTOTYPES, 2)) for each in (store, other)]
        np.testing.assert_array_equal(pair[0].labels, pair[1].labels)
        np.testing.assert_allclose(pair[0].centres, pair[1].centres, rtol=0, atol=1e-5)


def test_a_block_has_no_more_vectors_than_fit_but_those_of_one_token(monkeypatch):
    monkeypatch.setattr(points, "BLOCK_BYTES", 4 * 32 * 10)
    counts = np.array([0, 3, 7, 1, 0, 25, 0, 0, 4, 6, 0])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    found = points.Points.of(Path("shards"), "f", (), offsets, 32)
    assert found.bounds.tolist() == [0, 3, 5, 6, 11]
    assert np.add.reduceat(counts, found.bounds[:-1]).tolist() == [10, 1, 25, 10]
    alone = points.Points.of(Path("shards"), "f", (), offsets, 10_000)
    assert ",".join(map(str, alone.bounds)) == "0,1,2,3,5,6,8,9,10,11"


@pytest.mark.parametrize("folded", [False, True])
def test_lost_and_damaged_vectors_of_contexts_are_encoded_again_and_counted_once(small, tmp_path, folded):
    plan, expected = small
    store = tmp_path / "a.kotovec"
    interrupt(plan, store, 3)
    folder = Layout(store).shards
    if folded:
        means.fold(means.Folder(folder, plan.fingerprint, plan.encoded, len(plan.tokens), (0, 1, 2, 3)))
    (folder / f"{POINTS}000001.h5").unlink()
    raw = bytearray((folder / f"{POINTS}000002.h5").read_bytes())
    raw[-3] ^= 1
    (folder / f"{POINTS}000002.h5").write_bytes(raw)
    notices = []
    build(plan, store, INLINE, report=lambda event: notices.append(getattr(event, "text", "")))
    assert "resuming with 2 of 6 shards from an earlier run" in notices
    assert datasets(store) == expected


def test_a_build_that_ended_between_the_means_and_their_prototypes_encodes_nothing_again(small, tmp_path, monkeypatch):
    plan, expected = small
    store = tmp_path / "a.kotovec"

    def stop(*_):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("kotovec.cluster.contexts.means.merge_prototypes", stop)
        with pytest.raises(Interrupted):
            build(plan, store, INLINE)
    with kotovec.open(store) as opened:
        spaces = [str(space) for space in opened.spaces if space.name in ("context", PROTOTYPES)]
        assert spaces == ["context@0", "context@1", "context@2"]
    assert build(plan, store, INLINE).sentences == 0
    assert datasets(store) == expected
    assert left_behind(store) == []


def test_an_interrupted_build_of_another_number_is_refused(small, tmp_path):
    plan, _ = small
    interrupt(plan, tmp_path / "a.kotovec", 3)
    for other, now in ((2, "2"), (0, "none")):
        settings = {name: value for name, value in plan.settings.items() if name != PROTOTYPES}
        settings |= {PROTOTYPES: other} if other else {}
        with pytest.raises(SettingsDifferError, match=f"prototypes was 3, now {now}"):
            build(replace(plan, prototypes=other, settings=settings), tmp_path / "a.kotovec", INLINE)


def test_half_precision_is_stored_where_it_is_asked_for(king, tiny_models, tmp_path):
    with made(tiny_models["bert"], tmp_path / "x.kotovec", king[1], store_dtype="float16", layers="last") as store:
        half = points_of(store, Space(PROTOTYPES, 2))
        assert (half.centres.dtype, store.array(PROTOTYPES).dtype) == (np.float16, np.float16)
        assert store.search("king", space=PROTOTYPES).results
    full = points_of(kotovec.open(king[0]), Space(PROTOTYPES, 2))
    np.testing.assert_array_equal(half.centres, full.centres.astype(np.float16))
    np.testing.assert_array_equal(half.labels, full.labels)


def test_a_dry_run_names_the_space_and_the_bytes_while_it_builds(king, tiny_models, tmp_path, capsys):
    options = ("--corpus", king[1], "--contexts", 5, "--prototypes", 2, "--store", tmp_path / "y.kotovec", "--dry-run")
    lines = call(capsys, "build", tiny_models["bert"], *options).out.splitlines()
    pairs = dict(line.strip().split(maxsplit=1) for line in lines if line.strip())
    assert pairs["then"] == "context, layer 2; prototypes, layer 2"
    assert pairs["points"] == "up to 0.3 MB of vectors of contexts on disk, until they are divided"
    (then,) = json.loads(call(capsys, "build", tiny_models["bert"], *options, "--json").out)["then"]
    tokens = len(kotovec.open(king[0]))
    assert (then["point_bytes"], then["spaces"]) == (tokens * 5 * 32 * 4, ["context@2", "prototypes@2"])
    assert then["peak_bytes"] > then["store_bytes"] - then["index_bytes"] + then["point_bytes"]
    refused = call(capsys, "build", tiny_models["bert"], "--prototypes", 2, "--store", tmp_path / "y.kotovec")
    hint = "name it with --corpus, or a store with --contexts-from"
    assert refused.err == f"error: --prototypes is of a corpus, and none is given\nhint: {hint}\n"
    assert not (tmp_path / "y.kotovec").exists()


def test_vectors_reads_no_centres_without_their_means(king, tmp_path):
    path = copied(king, tmp_path)
    Layout(path).space(Space("context", 2)).unlink()
    assert Vectors(path).spaces
    with kotovec.open(path) as store:
        with pytest.raises(kotovec.KotovecError, match=r"has prototypes@2 without context@2, its means"):
            store.search("king", space="prototypes@2")
        assert store.search("king", space="prototypes@1").results
        assert [each for each in store.verify() if "prototypes-2" in each]
