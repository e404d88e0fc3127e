"""Indexes are used for the vectors that they were built from, and for no others."""

import hashlib
import json
import re

import faiss
import numpy as np
import pytest

from kotovec.errors import DamagedError, InputError, MissingDependencyError, StoreBusyError, StoreError
from kotovec.space import Space
from kotovec.store import Store, index, library, parameters
from kotovec.store.layout import Layout
from kotovec.store.lock import locked
from kotovec.store.measure import build_index
from kotovec.store.nearest import Metric
from kotovec.store.vectors import Vectors

import stores

RANDOM = np.random.default_rng(11)
ROWS = 2000
TOKENS = stores.numbered(ROWS)
STATIC = RANDOM.standard_normal((ROWS, 16)).astype(np.float32)
OTHERS = RANDOM.standard_normal((ROWS, 16)).astype(np.float32)
QUESTIONS = [f"t{a} - t{b} + t{c}" for a, b, c in RANDOM.integers(0, ROWS, (50, 3))]


@pytest.fixture
def folder(tmp_path):
    return stores.write_store(tmp_path / "a.kotovec", TOKENS, STATIC, np.stack([OTHERS, STATIC]), layers=(1, 2))


def build(folder, space="static", layer=None, metric="l2", **more):
    wanted = Space.parse(space).at(layer)
    return index.build(Vectors(folder), folder / "indexes", wanted, Metric(metric), **more)


def load(folder, space="static", layer=None, metric="l2"):
    wanted = Space.parse(space).at(layer)
    return index.load(Vectors(folder), folder / "indexes", wanted, Metric(metric))


def ids(answers):
    return [[hit.id for hit in answer.hits] for answer in answers]


def expected(vectors, metric="l2"):
    vectors = vectors.astype(np.float64)
    found = []
    for question in QUESTIONS:
        a, b, c = (int(part[1:]) for part in question.split()[::2])
        query = vectors[a] - vectors[b] + vectors[c]
        if metric == "l2":
            scores = np.square(vectors - query).sum(axis=1)
        else:
            scores = -(vectors @ query) / (np.linalg.norm(vectors, axis=1) if metric == "cosine" else 1)
        found.append(np.argsort(scores, kind="stable")[:10].tolist())
    return found


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize(("space", "layer", "name"), [("static", None, "static"), ("isolated", 1, "isolated-1")])
def test_an_index_is_two_files_and_gives_what_a_search_without_it_gives(folder, space, layer, name, metric):
    without = Store.open(folder).search_many(QUESTIONS, space=space, layer=layer, metric=metric)
    record = build(folder, space, layer, metric)
    assert {path.name for path in (folder / "indexes").iterdir()} == {f"{name}.{metric}.faiss", f"{name}.{metric}.json"}
    assert load(folder, space, layer, metric)[1] == record
    store = Store.open(folder)
    assert store.search_many(QUESTIONS, space=space, layer=layer, metric=metric) == without
    assert ids(without) == expected(STATIC if space == "static" else OTHERS, metric)
    assert store.verify() == []


def test_a_flat_index_holds_the_vectors_as_they_are(folder):
    build(folder)
    flat = faiss.read_index(str(folder / "indexes" / "static.l2.faiss"))
    assert np.array_equal(flat.reconstruct_n(0, ROWS), STATIC)


def own_way(vectors, metric):
    """Return the bytes that faiss writes of a Flat index filled in memory."""
    if metric == "cosine":
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        vectors = vectors * np.divide(1, norms, out=np.zeros(len(norms)), where=norms > 0)[:, None].astype(np.float32)
    flat = faiss.IndexFlatL2(vectors.shape[1]) if metric == "l2" else faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors.astype(np.float32))
    return faiss.serialize_index(flat).tobytes()


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("rows", [1, 699, 700, 701, 1400, 1401])
@pytest.mark.parametrize("size", [3, 256])
def test_a_flat_index_is_written_in_blocks_as_faiss_writes_it_in_one(tmp_path, monkeypatch, rows, size, metric):
    """Blocks of 700 rows; faiss reads the file, memory-mapped too, and finds what a search of all rows finds."""
    monkeypatch.setattr(index, "WRITTEN", 700)
    monkeypatch.setattr(index, "_filled", None)  # what needs all vectors in memory
    vectors = RANDOM.standard_normal((rows, size)).astype(np.float32)
    vectors[rows // 2] = 0
    half = vectors.astype(np.float16)[np.newaxis]
    store = stores.write_store(tmp_path / "b.kotovec", stores.numbered(rows), vectors, half, dtype="float16")
    for space, stored in (("static", vectors), ("isolated", half[0].astype(np.float32))):
        record = build(store, space, -1, metric)
        path = store / "indexes" / f"{record.name}.faiss"
        assert path.read_bytes() == own_way(stored, metric)
        assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        scores = faiss.deserialize_index(np.frombuffer(own_way(stored, metric), np.uint8)).search(stored[:5], 1)[0]
        for flags in (0, faiss.IO_FLAG_MMAP_IFC):
            flat = faiss.read_index(str(path), flags)
            assert (flat.ntotal, flat.d) == (rows, size)
            assert np.array_equal(flat.search(stored[:5], 1)[0], scores)


@pytest.mark.parametrize("change", ["longer", "other"])
def test_a_faiss_that_writes_flat_indexes_otherwise_writes_them_itself(folder, monkeypatch, change):
    """Its format is its own: what is not as expected is not guessed."""
    own = faiss.serialize_index
    added = np.zeros(1, dtype=np.uint8)
    wrong = {"longer": lambda flat: np.append(own(flat), added), "other": lambda flat: added + flat.ntotal}[change]
    monkeypatch.setattr(faiss, "serialize_index", wrong)
    record = build(folder)
    monkeypatch.undo()
    assert (folder / "indexes" / "static.l2.faiss").read_bytes() == own_way(STATIC, "l2")
    assert record.sha256 == hashlib.sha256(own_way(STATIC, "l2")).hexdigest()


def test_an_index_serves_its_own_space_layer_and_metric_only(folder):
    build(folder, "isolated", 1, "cosine")
    assert load(folder, "isolated", 1, "cosine") is not None
    for other in (("isolated", 2, "cosine"), ("isolated", 1, "l2"), ("static", -1, "cosine")):
        assert load(folder, *other) is None


def test_an_index_of_other_vectors_is_not_used_and_is_named(folder, tmp_path):
    """As after --overwrite, or when a folder is copied into another store."""
    other = stores.write_store(tmp_path / "b.kotovec", TOKENS, OTHERS, metrics=["l2"])
    (other / "indexes").rename(folder / "indexes")
    store = Store.open(folder)
    assert load(folder) is None
    assert ids(store.search_many(QUESTIONS)) == expected(STATIC)
    assert [(record["name"], record["usable"]) for record in store.info()["indexes"]] == [
        ("isolated-12.l2", False),
        ("static.l2", False),
    ]
    assert store.verify() == [
        f"indexes/{name}.l2.faiss (of other vectors; kotovec index --space {options} builds it again)"
        for name, options in (("isolated-12", "isolated@12 --metric l2"), ("static", "static --metric l2"))
    ]


def test_an_index_whose_rewrite_was_killed_is_not_used_and_is_named(folder):
    """Killed between the two renames: the new vectors are in place, the record that says what they are is not."""
    build(folder, factory="IVF16,Flat")
    (folder / "indexes" / "static.l2.json").unlink()
    assert [path.name for path in (folder / "indexes").iterdir()] == ["static.l2.faiss"]
    assert load(folder) is None
    store = Store.open(folder)
    answers = store.search_many(QUESTIONS)
    assert ids(answers) == expected(STATIC)
    assert all(answer.notes == () for answer in answers)
    assert store.verify() == ["indexes/static.l2.faiss (without a record; kotovec index builds it again)"]


def test_an_index_that_is_replaced_while_it_is_opened_is_not_taken_for_the_old_one(folder, monkeypatch):
    """A reader that has seen the record of a Flat index must not open an approximate one as exact."""
    build(folder)
    read = faiss.read_index

    def replaced_meanwhile(*arguments):
        monkeypatch.undo()  # the build reads what it wrote, too
        build(folder, factory="IVF16,Flat")
        return read(*arguments)

    monkeypatch.setattr(faiss, "read_index", replaced_meanwhile)
    assert load(folder) is None


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_index_is_named(folder, damage):
    build(folder)
    path = folder / "indexes" / "static.l2.faiss"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes({"flipped": raw, "cut": raw[:-1000], "empty": b""}[damage])
    assert Store.open(folder).verify() == [
        "indexes/static.l2.faiss (kotovec index --space static --metric l2 builds it again)"
    ]
    if damage != "flipped":
        with pytest.raises(
            DamagedError, match=r"static.l2.faiss is damaged\nhint: build it again: kotovec index --space static"
        ):
            Store.open(folder).search("t1")


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"space": 1}', "null", "\0"])
def test_a_record_that_cannot_be_read_is_as_good_as_none(folder, record):
    build(folder)
    (folder / "indexes" / "static.l2.json").write_text(record)
    assert load(folder) is None
    assert ids(Store.open(folder).search_many(QUESTIONS[:1])) == expected(STATIC)[:1]
    assert len(Store.open(folder).verify()) == 1
    assert Store.open(folder).info()["indexes"] == []


@pytest.mark.parametrize("change", [{"space": "dynamic"}, {"metric": "l3"}, {"layer": 9, "space": "isolated"}])
def test_a_record_of_something_else_is_passed_over(folder, change):
    build(folder)
    path = folder / "indexes" / "static.l2.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert load(folder) is None
    assert Store.open(folder).info()["indexes"] == []


@pytest.mark.parametrize("factory", ["IVF16,Flat", "HNSW8", "SQ4", "IVF16,SQ8"])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_an_approximate_index_is_said_to_be_one_and_can_be_passed_over(folder, factory, metric):
    build(folder, metric=metric, factory=factory)
    store = Store.open(folder)
    answers = store.search_many(QUESTIONS, metric=metric)
    note = f"found with the approximate index {factory}: --exact searches every vector"
    assert all(answer.notes == (note,) for answer in answers)
    exact = store.search_many(QUESTIONS, metric=metric, exact=True)
    assert all(answer.notes == () for answer in exact)
    assert ids(exact) == expected(STATIC, metric)
    true = {(number, hit.id): hit.score for number, answer in enumerate(exact) for hit in answer.hits}
    shared = 0
    for number, answer in enumerate(answers):
        scores = [hit.score for hit in answer.hits]
        assert scores == sorted(scores, reverse=metric == "cosine")
        for hit in answer.hits:
            if (number, hit.id) in true:
                shared += 1
                assert hit.score == true[number, hit.id]
    assert 0.2 < shared / len(true) <= 1


def test_the_exact_answer_is_given_after_the_approximate_one_too(folder):
    """One open store keeps both ways apart."""
    build(folder, factory="IVF64,Flat")
    store = Store.open(folder)
    first, exact, again = (store.search_many(QUESTIONS, exact=flag) for flag in (False, True, False))
    assert first == again
    assert ids(exact) == expected(STATIC) != ids(first)


def test_search_parameters_are_kept_in_the_index(folder):
    """With every list probed, an IVF index misses nothing."""
    assert build(folder, factory="IVF16,Flat", parameters="nprobe=16").parameters == "nprobe=16"
    assert load(folder)[0].nprobe == 16
    assert ids(Store.open(folder).search_many(QUESTIONS)) == expected(STATIC)
    build(folder, factory="HNSW8", parameters="efSearch=77")
    assert load(folder)[0].hnsw.efSearch == 77


@pytest.mark.parametrize("factory", ["Nonsense", "", "IVF,Flat", "IVF99999,Flat", "PQ5", "OPQ7", "IVF16,PQ5"])
def test_a_factory_that_faiss_cannot_build_is_refused_and_nothing_is_left(folder, factory):
    with pytest.raises(InputError, match=f"faiss cannot build `{factory}` from these vectors"):
        build(folder, factory=factory)
    assert not (folder / "indexes").exists()


@pytest.mark.parametrize(
    ("factory", "parameters", "hint"),
    [
        ("IVF16,Flat", "nprob=4", "use `nprobe`"),
        ("IVF16,Flat", "NProbe=4", "use `nprobe`"),
        ("IVF16,Flat", "nprobe=4,max_code=3", "use `max_codes`"),
        ("IVF16,Flat", "nprobe", "give nprobe a number, such as `nprobe=16`"),
        ("IVF16,Flat", "nprobe=x", "give nprobe a number, such as `nprobe=16`"),
        ("IVF16,Flat", "efSearch=4", "name a factory that has efSearch, such as `--factory HNSW32`"),
        ("IVF16,Flat", "nonsense=1", "choose `nprobe` or `max_codes`"),
        ("HNSW8", "efsearch=4", "use `efSearch`"),
        ("HNSW8", "nonsense=4", "choose `efSearch`"),
        ("Flat", "nprobe=4", "name a factory that has nprobe, such as `--factory IVF256,Flat`"),
        ("Flat", "nonsense=4", "leave out --parameters: this index has none"),
        ("SQ8", "nprobe=4", "name a factory that has nprobe, such as `--factory IVF256,Flat`"),
    ],
)
def test_parameters_that_faiss_does_not_take_have_a_hint(folder, factory, parameters, hint):
    with pytest.raises(InputError, match=f"faiss does not take the parameters `{parameters}`") as caught:
        build(folder, factory=factory, parameters=parameters)
    assert caught.value.hint == hint


@pytest.mark.parametrize("parameters", ["nonsense=1", "nprobe", "nprobe=x"])
def test_parameters_that_faiss_does_not_take_are_refused_and_the_old_index_stays(folder, parameters):
    record = build(folder)
    with pytest.raises(InputError, match=f"faiss does not take the parameters `{parameters}`"):
        build(folder, factory="IVF16,Flat", parameters=parameters)
    assert load(folder)[1] == record


def test_two_builds_of_an_index_at_the_same_time_are_refused(folder):
    """They would write into one temporary file, and leave under the final name what is neither's."""
    with locked(Layout(folder)), pytest.raises(StoreBusyError, match="is being built by another process"):
        build_index(Store.open(folder))
    assert not (folder / "indexes").exists()
    build_index(Store.open(folder))
    assert load(folder) is not None
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_gpu_that_is_not_there_is_refused(folder, monkeypatch):
    monkeypatch.setattr(library, "gpus", lambda: 0)
    for call in (lambda: build(folder, device="cuda"), lambda: Store.open(folder).search("t1", device="cuda")):
        with pytest.raises(InputError, match=r"faiss sees no GPU\nhint: use --device cpu"):
            call()


def test_two_wheels_of_faiss_are_refused_with_the_cure(monkeypatch):
    monkeypatch.setattr(library, "_is_installed", lambda name: name in ("faiss-cpu", "faiss-gpu"))
    with pytest.raises(MissingDependencyError, match="faiss-cpu and faiss-gpu are both installed") as caught:
        library.import_faiss()
    assert "pip uninstall -y faiss-cpu faiss-gpu, then pip install --force-reinstall" in caught.value.hint


@pytest.mark.parametrize(
    ("installed", "reason"), [([], "faiss is not installed"), (["faiss-gpu"], "faiss does not load")]
)
def test_a_faiss_that_is_missing_or_does_not_load_is_refused_with_the_cure(folder, monkeypatch, installed, reason):
    monkeypatch.setattr(library, "_is_installed", lambda name: name in installed)
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    for call in (library.import_faiss, lambda: Store.open(folder).search("t1")):
        with pytest.raises(
            MissingDependencyError, match=rf"{reason}.*\nhint: install it: pip install 'kotovec\[cpu\]'"
        ):
            call()
    assert Store.open(folder).vector("t1").tolist() == STATIC[1].tolist()


@pytest.mark.parametrize(
    ("factory", "parameters", "reason"),
    [
        ("IVF16,Flat", "nprobe=0", "cannot search with `nprobe=0`"),
        ("IVF16,Flat", "nprobe=-1", "cannot search with `nprobe=-1`"),
        ("IVF16,Flat", "nprobe=0.5", "cannot search with `nprobe=0.5`"),
        ("IVF16,Flat", "nprobe=nan", "cannot search with `nprobe=nan`"),
        ("IVF16,Flat", "nprobe=1e30", "cannot search with `nprobe=1e30`"),
        ("IVF16,Flat", "nprobe=2,nprobe=0", "cannot search with `nprobe=0`"),
        ("IVF16,Flat", "nprobe=0x0", r"a search in the new index fails \('cur_nprobe > 0' failed\)"),
        ("PCA4,IVF16,Flat", "nprobe=0", "cannot search with `nprobe=0`"),
        ("HNSW8", "efSearch=0", "cannot search with `efSearch=0`"),
        ("IVF16_HNSW8,Flat", "quantizer_efSearch=0", "cannot search with `quantizer_efSearch=0`"),
        ("SQ4,Refine(Flat)", "k_factor_rf=0.5", "cannot search with `k_factor_rf=0.5`"),
        ("SQ4,Refine(Flat)", "k_factor_rf=1001", r"a search in the new index fails \(k_factor 1001 out of valid range"),
        ("PQ4", "ht=-5", "a search in the new index finds nothing"),
    ],
)
def test_parameters_that_no_search_works_with_are_refused_and_the_old_index_stays(folder, factory, parameters, reason):
    """faiss accepts all of these; a query would end in its C++."""
    record = build(folder, factory="IVF8,Flat", parameters="nprobe=8")
    with pytest.raises(InputError, match=reason) as caught:
        build(folder, factory=factory, parameters=parameters)
    assert caught.value.hint.startswith(("give ", "choose another factory"))
    assert load(folder)[1] == record
    assert ids(Store.open(folder).search_many(QUESTIONS)) == expected(STATIC)


def test_an_index_that_finds_too_few_is_filled_up_exactly_and_says_so(folder):
    """Every list of this IVF holds one row, and one list is probed."""
    build(folder, factory=f"IVF{ROWS},Flat")
    store = Store.open(folder)
    for options in ({}, {"exclude_inputs": True}, {"words_only": True}):
        found, exact = (store.search_many(QUESTIONS, k=5, exact=flag, **options) for flag in (False, True))
        assert [answer.hits for answer in found] == [answer.hits for answer in exact]
        for answer in found:
            (note,) = answer.notes
            assert re.fullmatch(rf"the approximate index IVF{ROWS},Flat found only [01] of 5: these are from .*", note)
    assert len(store.nearest(STATIC[:3], k=7)[2].rows) == 7


def test_of_few_rows_that_may_be_answers_none_is_missing(folder):
    """Not k, but as many as there are: `keep` and `skip` leave three."""
    build(folder, factory="HNSW8")
    keep = np.zeros(ROWS, dtype=bool)
    keep[[1, 5, 9, 700]] = True
    (near,) = Store.open(folder).nearest(STATIC[:1], k=10, keep=keep, skip=[np.array([9, 10, 9])])
    assert sorted(near.rows.tolist()) == [1, 5, 700]


def test_an_index_of_an_older_version_that_cannot_be_searched_says_what_to_do(folder, monkeypatch):
    """kotovec 0.1.0 accepted nprobe=0."""
    monkeypatch.setattr(index, "_try", lambda *_: None)
    monkeypatch.setattr(parameters, "_is_from_one", lambda *_, **__: True)
    build(folder, factory="IVF16,Flat", parameters="nprobe=0")
    monkeypatch.undo()
    store = Store.open(folder)
    with pytest.raises(
        StoreError, match=r"a search in the index static.l2 fails \('cur_nprobe > 0' failed\)"
    ) as caught:
        store.search("t1")
    assert caught.value.hint == "search every vector with --exact, or build the index again with `kotovec index`"
    assert ids(store.search_many(QUESTIONS, exact=True)) == expected(STATIC)


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("vectors", [np.zeros((300, 8)), np.ones((300, 8))], ids=["zeros", "equal"])
def test_of_equal_rows_no_index_misses_any(tmp_path, vectors, metric):
    """All are equally near: what is found is as good as what is not, and a tenth of recall would be chance."""
    store = Store.open(stores.write_store(tmp_path / "z.kotovec", stores.numbered(300), vectors))
    _, measured = build_index(store, metric=metric, factory="IVF4,Flat")
    assert (measured.recall_at_10, measured.recall_at_10_of_sums) == (1.0, 1.0)


def test_an_index_of_three_rows_is_built_and_not_measured(tmp_path):
    store = Store.open(stores.write_store(tmp_path / "z.kotovec", stores.numbered(3), STATIC[:3]))
    record, measured = build_index(store, factory="IVF1,Flat")
    assert (record.factory, measured) == ("IVF1,Flat", None)
    assert len(store.search("t0", k=3).hits) == 3
