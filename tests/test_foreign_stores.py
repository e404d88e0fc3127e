"""Stores of strangers: no command waits for a pipe, reads another file, or takes the memory that a few KB ask for."""

import contextlib
import json
import os
import stat
import struct
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from kotovec.cli import prompt
from kotovec.errors import DamagedError, StoreError
from kotovec.space import Space
from kotovec.store import Store, contents, faiss_files, maps
from kotovec.store.cartography import MapRequest, find_map, make_map
from kotovec.store.files import read_regular
from kotovec.store.folder import read_plan
from kotovec.store.layout import Layout
from kotovec.store.outputs import write_output
from kotovec.store.shard import open_shard
from kotovec.store.vectors import Vectors

import stores
from commands import PEAK_KB, call, make_store, start
from planted import replace_index

# Memory of an attacked command, in MB, on stderr; and a limit to what it can take of the machine's.
MEASURED = (
    "import atexit, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)); "
    f"atexit.register(lambda: print({PEAK_KB} // 1024, file=sys.stderr)); "
)
GIB = 1 << 30
AGAIN = "kotovec index --space static --metric l2"


@pytest.fixture
def store(tmp_path) -> Path:
    return make_store(tmp_path / "s.kotovec")


def attacked(*arguments: object) -> tuple[int, str, int]:
    """Run a command that an attack may hang or fill; return its code, what it printed, and its memory in MB."""
    done = start(*arguments, prepare=MEASURED, timeout=60)
    *lines, memory = done.stderr.splitlines()
    return done.returncode, done.stdout + "\n".join(lines), int(memory)


# ---- indexes


def test_an_index_on_disk_maps_no_other_file(store, tmp_path):
    import faiss

    other = tmp_path / "lists"
    vectors = np.array(Store.open(store).array("static"))
    index = faiss.index_factory(vectors.shape[1], "IVF2,Flat")
    index.train(vectors)
    lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(other))
    index.replace_invlists(lists, False)
    index.add(vectors)
    content = faiss.serialize_index(index).tobytes()
    assert str(other).encode() in content
    replace_index(store, content, "IVF2,Flat")
    os.truncate(other, 1)  # what was a SIGBUS on the first search
    code, said, _ = attacked("query", "king", "--store", store)
    assert (code, said) == (
        1,
        f"error: {store}/indexes/static.l2.faiss is damaged\nhint: build it again: {AGAIN} --factory IVF2,Flat",
    )


def test_an_index_takes_no_memory_that_its_file_has_not(store):
    count, size = Store.open(store).array("static").shape
    header = struct.pack("<iqqqBi", size, count, 1 << 20, 1 << 20, 1, 1)
    replace_index(store, b"IHNf" + header + struct.pack("<Q", 3 * GIB // 8) + bytes(2000), "HNSW8")
    code, said, memory = attacked("query", "king", "--store", store)
    assert (code, memory < 1000) == (1, True), (said, memory)
    assert "static.l2.faiss is damaged" in said


def test_a_search_takes_no_memory_that_an_index_asks_for(store):
    """HNSW's list of candidates took 8 bytes for each of as many as the file says: 16 GB for a query."""
    import faiss

    vectors = np.array(Store.open(store).array("static"))
    index = faiss.IndexHNSWFlat(vectors.shape[1], 4)
    index.add(vectors)
    index.hnsw.efSearch = 2**31 - 1
    replace_index(store, faiss.serialize_index(index).tobytes(), "HNSW4")
    code, said, memory = attacked("query", "king", "--store", store, "--tsv")
    assert (code, memory < 1000) == (0, True), (said, memory)
    assert said.splitlines()[1].split("\t")[2] == "king"


def test_what_a_search_keeps_is_bounded_in_indexes_within_an_index():
    import faiss

    vectors = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    inner = faiss.IndexHNSWFlat(8, 4)
    index = faiss.IndexPreTransform(faiss.RandomRotationMatrix(8, 8), faiss.IndexIVFFlat(inner, 8, 4))
    index.train(vectors)
    index.add(vectors)
    inner.hnsw.efSearch = 2**31 - 1
    faiss_files.bound(faiss, index)
    assert inner.hnsw.efSearch == inner.ntotal == 4
    inner.hnsw.efSearch = 3
    faiss_files.bound(faiss, index)
    assert inner.hnsw.efSearch == 3


def test_rows_that_an_index_invents_are_not_taken(store):
    import faiss

    vectors = np.array(Store.open(store).array("static"))
    quantizer = faiss.IndexFlatL2(vectors.shape[1])
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], 1)
    index.train(vectors)
    index.add_with_ids(vectors, np.arange(len(vectors)) + 10**6)
    replace_index(store, faiss.serialize_index(index).tobytes(), "IVF1,Flat")
    with pytest.raises(DamagedError, match="an index of the store is damaged: it finds rows that do not exist"):
        Store.open(store).search("king")


def test_a_sparse_record_of_an_index_is_not_read(store):
    note = store / "indexes" / "static.l2.json"
    note.unlink()
    note.touch()
    os.truncate(note, 3 * GIB)
    code, said, memory = attacked("query", "king", "--store", store, "--tsv")
    assert (code, memory < 1000) == (0, True), (said, memory)
    assert said.splitlines()[1].split("\t")[2] == "king"


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "[]", "null", '{"space": 1}', '{"space": "static", "dataset": null}']
)
def test_a_record_that_is_none_is_no_index(store, content):
    (store / "indexes" / "static.l2.json").write_text(content)
    with Store.open(store) as opened:
        assert [each["name"] for each in opened.info()["indexes"]] == ["isolated-2.l2"]
        assert opened.search("king").hits[0].token == "king"


# ---- maps and vectors


def empty_bomb(file: h5py.File, name: str, _: Path) -> None:
    file.create_dataset(name, shape=(GIB // 4, 2), dtype="f4", chunks=(1 << 16, 2), compression="gzip")


def of_other_file(file: h5py.File, name: str, other: Path) -> None:
    file[name] = h5py.ExternalLink(str(other), "/secret")


def virtual(file: h5py.File, name: str, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", shape=(4,))
    file.create_virtual_dataset(name, layout)


def stored_elsewhere(file: h5py.File, name: str, other: Path) -> None:
    file.create_dataset(name, shape=(4,), dtype="f4", external=[(str(other), 0, 16)])


def soft(file: h5py.File, name: str, _: Path) -> None:
    file[name] = h5py.SoftLink("/rows")


def objects(file: h5py.File, name: str, _: Path) -> None:
    file.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())


SPOILS = [empty_bomb, of_other_file, virtual, stored_elsewhere, soft, objects]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_the_reader_of_a_map_reads_its_own_bytes_alone(store, tmp_path, spoil, kind):
    make_map(Store.open(store), MapRequest(method="pca"))
    other = tmp_path / "other.h5"
    if kind == "pipe":
        os.mkfifo(other)
    else:
        with h5py.File(other, "w") as file:
            file["secret"] = np.arange(4, dtype="f4")
    with h5py.File(store / "maps" / "static.pca.h5", "r+") as file:
        sha256 = file["coordinates"].attrs["sha256"]
        del file["coordinates"]
        spoil(file, "coordinates", other)
        if spoil not in (of_other_file, soft):
            file["coordinates"].attrs["sha256"] = sha256
    code, said, memory = attacked("verify", "--store", store)
    assert (code, memory < 500) == (1, True), (said, memory)
    assert "maps/static.pca.h5" in said
    assert find_map(Store.open(store), MapRequest(method="pca")) is None


@pytest.mark.parametrize("spoil", SPOILS)
def test_the_reader_of_vectors_reads_its_own_bytes_alone(store, tmp_path, spoil):
    os.mkfifo(tmp_path / "other.h5")
    with h5py.File(store / "spaces" / "static.h5", "r+") as file:
        del file["vectors"]
        file["rows"] = np.zeros(3)
        spoil(file, "vectors", tmp_path / "other.h5")
        with contextlib.suppress(KeyError, OSError):
            if spoil not in (of_other_file, soft):
                file["vectors"].attrs["sha256"] = np.bytes_("0" * 64)
    code, said, memory = attacked("query", "king", "--store", store)
    assert (code, memory < 500) == (1, True), (said, memory)
    assert f"{store}/spaces/static.h5 is" in said


def test_a_map_of_rows_that_the_store_has_not_is_none(store):
    opened = Store.open(store)
    made = make_map(opened, MapRequest(method="pca"))
    for rows in (made.rows + 1, made.rows[::-1].copy(), made.rows - 1):
        maps.write_map(store / "maps", maps.Map(made.record, rows, made.coordinates))
        assert find_map(opened, MapRequest(method="pca")) is None


def test_tables_that_claim_more_than_any_model_are_not_read(store):
    with h5py.File(store / "tokens.h5", "r+") as file:
        sha256 = file["text"].attrs["sha256"]
        del file["text"]
        space = h5py.h5s.create_simple((3 * GIB,))
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # so that the file is sparse
        h5py.h5d.create(file.id, b"text", h5py.h5t.NATIVE_UINT8, space, creation)
        file["text"].attrs["sha256"] = sha256
    assert (store / "tokens.h5").stat().st_blocks < 1000
    code, said, memory = attacked("info", "--store", store)
    assert (code, memory < 500) == (1, True), (said, memory)
    assert said.splitlines()[0] == f"error: {store}/tokens.h5 claims more tokens than any model has"


def test_a_shard_reads_its_own_bytes_alone(tmp_path):
    tokens, fingerprint = stores.numbered(4), "f" * 64
    stores.write_shards(tmp_path, tokens, np.eye(4, dtype="f4"), np.eye(4, dtype="f4")[None])
    path = tmp_path / "000000.h5"
    with open_shard(tmp_path, 0, fingerprint) as shard:
        np.testing.assert_array_equal(shard.read("static"), np.eye(4))
    with h5py.File(path, "r+") as file:
        del file["static"]
        empty_bomb(file, "static", path)
        file["static"].attrs["sha256"] = np.bytes_("0" * 64)
    with open_shard(tmp_path, 0, fingerprint) as shard, pytest.raises(DamagedError, match="static is not in one piece"):
        shard.read("static")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamagedError, match="not a regular file"), open_shard(tmp_path, 0, fingerprint):
        pass


# ---- pipes and devices

PLACES = ["tokens.h5", "spaces/static.h5", "indexes/static.l2.faiss", "indexes/static.l2.json", "maps/static.pca.h5"]
PLACES += ["tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "tokenizer/vocab.txt"]


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("path", PLACES)
def test_no_command_waits_for_a_pipe_or_reads_a_device(store, path, kind):
    target = store / path
    if path == "tokenizer/vocab.txt":
        config = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
        (store / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    if path.startswith("tokenizer/"):
        (store / "tokenizer" / "tokenizer.json").unlink()
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/zero")
    for command in (["query", "kings"], ["info"], ["verify"]):
        code, said, memory = attacked(*command, "--store", store)
        assert code in (0, 1, 2)
        assert memory < 500
        heads = [line.partition(":")[0] for line in said.splitlines()]
        assert code == 0 or heads in (["error"], ["error", "hint"]), said


def test_only_regular_files_of_a_limited_size_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"1234")
    assert read_regular(tmp_path / "a", 4) == b"1234"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_regular(tmp_path / "a", 3)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "b", 3)


# ---- plans, links, what is closed


@pytest.mark.parametrize(
    "plan", [{"spaces": None}, {"settings": {}, "spaces": None}, {"settings": []}, {"settings": {}, "spaces": [1]}, {}]
)
def test_a_plan_that_is_none_is_damage_and_not_a_build(capsys, tmp_path, tiny_models, plan):
    layout = Layout(tmp_path / "s")
    layout.shards.mkdir(parents=True)
    layout.plan.write_text(json.dumps(plan))
    with pytest.raises(StoreError, match=r"plan\.json is damaged"):
        read_plan(layout)
    answer = call(capsys, "build", tiny_models["bert"], "--store", layout.folder, "--workers", 0)
    assert (answer.code, len(answer.err.splitlines())) == (2, 2)
    assert f"{layout.plan} is damaged" in answer.err
    assert json.loads(layout.plan.read_text()) == plan


@pytest.mark.parametrize("plan", [{"settings": {}}, {"weights": ""}, {"settings": {}, "spaces": ["static"]}])
def test_a_plan_is_read(tmp_path, plan):
    layout = Layout(tmp_path)
    layout.shards.mkdir()
    layout.plan.write_text(json.dumps(plan))
    assert read_plan(layout) == plan


def test_a_space_that_is_a_link_to_nothing_is_damage(store):
    (store / "spaces" / "isolated-1.h5").symlink_to("nothing")
    with pytest.raises(DamagedError, match=r"spaces/isolated-1\.h5 is a link to nothing"):
        Store.open(store)


def test_arrays_of_a_closed_store_are_one_error(store):
    vectors = Vectors(store)
    static = vectors.array(Space("static"))
    vectors.close()
    np.testing.assert_array_equal(vectors.array(Space("static")), static)  # mapped before: it stays
    with pytest.raises(StoreError, match="was closed"):
        vectors.array(Space("isolated", 2))


@pytest.mark.parametrize("attribute", ["settings", "tokenizer_files"])
@pytest.mark.parametrize("value", ["null", "[" * 50_000, "[]"])
def test_a_table_that_is_none_is_damage(store, attribute, value):
    with h5py.File(store / "tokens.h5", "r+") as file:
        file.attrs[attribute] = np.array(value.encode(), dtype=h5py.string_dtype("utf-8", len(value)))
    with pytest.raises(DamagedError, match=f"tokens.h5 is damaged \\({attribute} is no table\\)"):
        Store.open(store).info()


# ---- files that are not kotovec's


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_output_keeps_the_permissions_of_the_file_that_it_replaces(tmp_path, mode):
    path = tmp_path / "map.html"
    path.write_text("old")
    path.chmod(mode)
    write_output(path, b"new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


def test_a_history_that_is_a_pipe_is_none(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "history")
    monkeypatch.setenv("KOTOVEC_HISTORY", str(tmp_path / "history"))
    found = []
    thread = threading.Thread(target=lambda: found.append(prompt._history()), daemon=True)
    thread.start()
    thread.join(20)
    assert found == [None]


def test_a_tokenizer_without_a_list_holds_kotovecs_files_and_no_others(store):
    (store / "tokens.h5").write_bytes(b"damaged")
    for name in ("vocab.txt", "merges.txt", "spiece.model", "special_tokens_map.json", "chat_template.jinja"):
        (store / "tokenizer" / name).write_text("of a tokenizer")
    assert contents.foreign(store) is None
    (store / "tokenizer" / "thesis.txt").write_text("years of work")
    assert contents.foreign(store) == "tokenizer/thesis.txt"
    contents.delete(store)
    assert [path.name for path in (store / "tokenizer").iterdir()] == ["thesis.txt"]
