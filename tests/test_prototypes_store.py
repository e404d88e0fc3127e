"""A store with prototypes in every command: what takes them, what takes their means, and what refuses them."""

import io
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import kotovec
from kotovec.cli.page.data import page_data
from kotovec.errors import DamagedError, InputError, NotStoredError, UnknownTokenError
from kotovec.space import PROTOTYPES, Space
from kotovec.store import prototypes
from kotovec.store.cartography import MapRequest, find_map, make_map
from kotovec.store.layout import Layout
from kotovec.store.measure import build_index
from kotovec.store.neighbours import neighbours

from commands import call
from stores import add_contexts, add_means, numbered, write_store

ROWS, SIZE = 12, 4
LAST = Space(PROTOTYPES, 2)
# Of t1: two points to the east and one to the north; of t2: two north; of t4: one west. The others have no context.
POINTS = {1: [[4, 0, 0, 0], [0, 4, 0, 0], [4, 1, 0, 0]], 2: [[0, 4, 0, 0], [0, 5, 0, 0]], 4: [[-4, 0, 0, 0]]}
CENTRES = [[4, 0.5, 0, 0], [0, 4, 0, 0], [0, 4.5, 0, 0], [-4, 0, 0, 0]]
LABELS = [0, 1, 0, 0, 0, 0]
SENTENCES = ["t1 to the east", "t1 to the north", "t1 eastward", "t2 north", "t2 norther", "t4 goes west"]


@pytest.fixture
def path(tmp_path):
    """A store made by hand."""
    folder = write_store(tmp_path / "a.kotovec", numbered(ROWS), np.eye(ROWS, SIZE, dtype=np.float32) + 1)
    n = np.array([len(POINTS.get(row, ())) for row in range(ROWS)])
    means = np.array([np.mean(POINTS.get(row, [[0.0] * SIZE]), axis=0) for row in range(ROWS)])
    add_means(folder, Space("context", 2), means, n)
    add_contexts(folder, {"t1": [0, 1, 2], "t2": [3, 4], "t4": [5]}, SENTENCES)
    offsets = np.cumsum([0, *({1: 2, 2: 1, 4: 1}.get(row, 0) for row in range(ROWS))])
    add_prototypes(folder, np.array(CENTRES, dtype=np.float32), offsets, [2, 1, 2, 1])
    return folder


def add_prototypes(folder, centres, offsets, sizes, labels=LABELS, **settings):
    with kotovec.open(folder) as store:
        identity = store.vectors.attributes["identity"]
    labels, sizes = np.array(labels, dtype=np.uint8), np.array(sizes, dtype=np.int64)
    like = prototypes.Prototypes(centres[:0], np.empty(0), np.asarray(offsets, dtype=np.int64), sizes, labels)
    made = {"settings": {"model": "none", "prototypes": 2, **settings}}
    with prototypes.writing_prototypes(Layout(folder), LAST, like, identity, made) as writer:
        for start in range(0, len(centres), 3):
            writer.add(centres[start : start + 3])


def test_the_file_is_read_with_h5py_alone_as_the_format_says(path):
    with h5py.File(path / "spaces" / "prototypes-2.h5") as file, h5py.File(path / "contexts.h5") as contexts:
        first, last = file["centre_offsets"][1:3]
        assert file["centres"][first:last].tolist() == CENTRES[:2]
        assert file["centre_sizes"][first:last].tolist() == [2, 1]
        np.testing.assert_allclose(file["centre_norms"][:], np.linalg.norm(CENTRES, axis=1), rtol=1e-15)
        begin, end = contexts["offsets"][1:3]
        assert file["centre_of_context"][begin:end].tolist() == [0, 1, 0]
        assert (file.attrs["encoding-type"], file.attrs["space"]) == (b"kotovec-space", b"prototypes@2")


def test_an_item_is_as_near_as_its_nearest_centre_and_is_found_once(path, capsys, monkeypatch):
    with kotovec.open(path) as store:
        found = store.nearest([[0, 4, 0, 0]], space=PROTOTYPES, k=3)[0]
        assert (found.rows.tolist(), found.scores.tolist()) == ([1, 2, 4], [0.0, 0.25, 32.0])
        near = neighbours(store, PROTOTYPES, 3)
        assert near.rows[1].tolist() == [2, 4]
        assert near.rows[0].tolist() == [-1, -1]
        with pytest.raises(NotStoredError, match="`t3` has no vector in prototypes@2: no sentence of the corpus"):
            store.search("t3", space=PROTOTYPES)
    shown = call(capsys, "query", "t4", "--space", "context,prototypes", "-k", 3, "--store", path)
    assert (shown.code, shown.err) == (0, "")
    rows = [line.split() for line in shown.out.splitlines() if line.split()[:1] == ["1"]]
    assert rows == [["1", "t4", "4", "0.0000", "input", "t4", "4", "0.0000", "input"]]
    monkeypatch.setattr("sys.stdin", io.StringIO(":space context\n:space prototypes\nt4\n"))
    asked = call(capsys, "shell", "-k", 2, "--store", path)
    assert (asked.code, "(prototypes, layer 2;" in asked.out) == (0, True)
    looked_up = call(capsys, "query", "t4", "--space", "static", "--in", PROTOTYPES, "-k", 1, "--store", path)
    assert "vectors of static, looked up in prototypes@2" in looked_up.err + looked_up.out
    answer = json.loads(call(capsys, "query", "t2", "--space", PROTOTYPES, "--store", path, "--json").out)
    assert [hit["token"] for hit in answer["results"]] == ["t2", "t1", "t4"]


def test_the_centres_of_a_token_and_which_sentences_belong_to_each(path, capsys):
    with kotovec.open(path) as store:
        found = store.prototypes("t1")
        assert (found.vectors.tolist(), found.sizes.tolist(), found.labels.tolist()) == (CENTRES[:2], [2, 1], [0, 1, 0])
        assert store.contexts("t1").prototypes == {"prototypes@2": (1, 2, 1)}
        for term, error, text in (
            ("t3", NotStoredError, "no vector in prototypes@2"),
            ("t1 + t2", InputError, "is an expression, and prototypes are those of one"),
            ("king", UnknownTokenError, "king"),
        ):
            with pytest.raises(error, match=text.replace("+", r"\+")):
                store.prototypes(term)
        with pytest.raises(NotStoredError, match="layer 1 is not in this store: it holds 2"):
            store.prototypes("t1", layer=1)
    shown = call(capsys, "contexts", "t1", "-k", 1, "--store", path).out
    assert shown.splitlines()[:5] == [
        "t1  (id 1; 3 contexts of 3 sentences with it)",
        "prototypes@2, 1 of 2: 2 contexts",
        "1  t1 to the east",
        "prototypes@2, 2 of 2: 1 context",
        "1  t1 to the north",
    ]
    told = json.loads(call(capsys, "contexts", "t1", "-k", 2, "--store", path, "--json").out)
    assert (told["sentences"], told["prototypes"]) == (SENTENCES[:2], {"prototypes@2": [1, 2]})


def test_what_takes_one_vector_per_token_takes_the_mean_or_refuses_in_one_line(path, capsys):
    with kotovec.open(path) as store:
        for part in (store.array, store.norms):
            np.testing.assert_array_equal(part(PROTOTYPES), part("context"))
        np.testing.assert_array_equal(store.vector("t1 - t2", PROTOTYPES), store.vector("t1 - t2", "context"))
        for refuse, what in (
            (lambda: build_index(store, PROTOTYPES), "an index"),
            (lambda: make_map(store, MapRequest(PROTOTYPES, "pca")), "a map"),
        ):
            with pytest.raises(InputError, match=f"has several vectors per token, and {what} takes one") as refused:
                refuse()
            assert refused.value.hint == "choose `context@2`, their mean"
        assert find_map(store, MapRequest(PROTOTYPES, "pca")) is None
    for command, what in (("index", "an index"), ("map", "a map")):
        refused = call(capsys, command, "--space", PROTOTYPES, "--store", path)
        line = f"error: prototypes@2 has several vectors per token, and {what} takes one"
        assert (refused.code, refused.err) == (2, f"{line}\nhint: choose `context@2`, their mean\n")
    norms = json.loads(call(capsys, "norms", "t1", "--store", path, "--json").out)
    assert ("context@2" in norms, "prototypes@2" in norms) == (True, False)
    lists = [
        call(capsys, "tokens", "--space", space, "--columns", "id,norm,centroid", "--tsv", "--store", path).out
        for space in (PROTOTYPES, "context")
    ]
    assert lists[0] == lists[1]
    assert "4.5" in lists[0]


def test_a_page_shows_maps_of_other_spaces_and_searches_these(path, tmp_path, capsys):
    rng = np.random.default_rng(0)
    folder = write_store(tmp_path / "b.kotovec", numbered(30), rng.standard_normal((30, SIZE)).astype(np.float32))
    means = rng.standard_normal((30, SIZE)).astype(np.float32)
    add_means(folder, Space("context", 2), means, np.ones(30, dtype=int))
    add_prototypes(folder, means, np.arange(31), [1] * 30, [0] * 30)
    page = tmp_path / "page.html"
    shown = call(capsys, "map", "--method", "pca", "--html", page, "--store", folder)
    assert shown.code == 0
    assert sorted(file.name for file in Layout(folder).maps.iterdir()) == ["context-2.pca.h5", "static.pca.h5"]
    with kotovec.open(folder) as store:
        kept = [find_map(store, MapRequest(space, "pca")) for space in ("static", "context")]
        assert page_data(store, kept, None)


def test_info_and_verify_know_the_file(path, capsys):
    about = json.loads(call(capsys, "info", "--json", "--store", path).out)
    assert about["prototypes"] == {"prototypes@2": {"limit": 2, "centres": 4, "items": 3, "mean_size": 1.5}}
    assert about["spaces"]["prototypes@2"] == {"shape": [4, SIZE], "dtype": "float32"}
    assert list(about["contexts"]) == ["context@2"]
    assert call(capsys, "verify", "--store", path).code == 0
    file = path / "spaces" / "prototypes-2.h5"
    whole = file.read_bytes()
    for values in (np.array(CENTRES, dtype="<f4"), np.array(LABELS, dtype=np.uint8), np.array([2, 1, 2, 1])):
        raw = bytearray(whole)
        raw[raw.index(values.tobytes()) + 1] ^= 1
        file.write_bytes(raw)
        damaged = call(capsys, "verify", "--store", path)
        assert damaged.code == 1
        assert "spaces/prototypes-2.h5" in damaged.out + damaged.err
    with kotovec.open(path) as store, pytest.raises(DamagedError, match=r"prototypes-2\.h5 is damaged"):
        store.search("t1", space=PROTOTYPES)


@pytest.mark.parametrize(
    ("offsets", "sizes", "labels", "settings"),
    [
        ([0, 1, 0, *[4] * 10], [2, 1, 2, 1], LABELS, {}),
        ([0, 0, 2, 3, 3, 9, *[9] * 7, 4], [2, 1, 2, 1], LABELS, {}),
        ([0, 0, 2, 3, 3, *[4] * 8], [1, 1, 2, 1], LABELS, {}),
        ([0, 0, 2, 3, 3, *[4] * 8], [2, 1, 2, 1], LABELS[1:], {}),
        ([0, 0, 2, 3, 3, *[4] * 8], [2, 1, 2, 1], LABELS, {"sample": "of others"}),
    ],
)
def test_a_file_whose_numbers_lead_nowhere_is_refused(path, offsets, sizes, labels, settings):
    add_prototypes(path, np.array(CENTRES, dtype=np.float32), offsets, sizes, labels, **settings)
    with kotovec.open(path) as store:
        with pytest.raises(DamagedError, match=r"prototypes-2\.h5 is"):
            store.search("t1", space=PROTOTYPES)
        assert store.search("t1", space="context").results
        assert any("prototypes-2" in name for name in store.verify())


def test_a_sparse_file_of_absurdly_many_centres_is_refused_before_memory_is_taken(path):
    count = 1 << 30
    with h5py.File(path / "spaces" / "prototypes-2.h5", "r+") as file:
        sha256 = file["centre_sizes"].attrs["sha256"]
        for name, shape, dtype in (
            ("centres", (count, SIZE), "<f4"),
            ("centre_norms", (count,), "<f8"),
            ("centre_sizes", (count,), "<i8"),
        ):
            del file[name]
            dataset = file.create_dataset(name, shape=shape, dtype=dtype)
            dataset[-1] = 0  # the rest is a hole
            dataset.attrs["sha256"] = sha256
    with kotovec.open(path) as store, pytest.raises(DamagedError, match=r"prototypes-2\.h5 is damaged"):
        store.search("t1", space=PROTOTYPES)


def test_a_store_with_prototypes_is_deleted_and_copied_as_any_other(path, tmp_path):
    from kotovec.store import contents

    assert contents.foreign(path) is None
    shards = path / "shards"
    shards.mkdir()
    (shards / "points-000000.h5").write_bytes(b"")
    assert contents.foreign(path) is None
    (shards / "points-x.h5").write_bytes(b"")
    assert contents.foreign(path) == "shards/points-x.h5"
    copy = Path(shutil.copytree(path, tmp_path / "c.kotovec"))
    with kotovec.open(copy) as store:
        assert store.search("t1", space=PROTOTYPES).results[0].token == "t1"


def test_the_rank_among_prototypes_is_that_of_the_search(path):
    with kotovec.open(path) as store:
        for metric in ("l2", "cosine", "ip"):
            hits = store.search("t2", space="prototypes", metric=metric, k=ROWS).results
            ranks = store.ranks("t2", [hit.token for hit in hits], space="prototypes", metric=metric)
            assert [(each.rank, each.among) for each in ranks] == [(hit.rank, 3) for hit in hits]
            assert [each.score for each in ranks] == pytest.approx([hit.score for hit in hits])


def test_what_takes_one_vector_a_token_refuses_prototypes_before_anything_is_done(path, capsys, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("t1\tt2\t1\nt1\tt4\t2\nt2\tt4\t3\n")
    spaces = ("--space", "static,prototypes", "--store", path)
    before = sorted(each.name for each in path.rglob("*"))
    for command, what in (
        (("index", "--metric", "ip"), "an index"),
        (("map", "--method", "pca"), "a map"),
        (("evaluate", "pairs", pairs), "an evaluation"),
        (("geometry",), "the geometry"),
        (("transform", "--do", "center"), "a transform"),
    ):
        answer = call(capsys, *command, *spaces)
        problem = f"error: prototypes@2 has several vectors per token, and {what} takes one"
        assert (answer.code, answer.out) == (2, ""), command
        assert answer.err.endswith(f"{problem}\nhint: choose `context@2`, their mean\n")
        assert sorted(each.name for each in path.rglob("*")) == before, command
