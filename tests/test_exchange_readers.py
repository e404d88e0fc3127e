"""Exported files as the tools that they are for read them, and what these tools write, imported: texts and bits."""

import csv
import re
from itertools import pairwise

import numpy as np
import pytest

from kotovec.store.exchange.escapes import unescape
from kotovec.store.exchange.importing import import_vectors

from exchanged import HOSTILE, contents, export, make_vectors, same, write_texts


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A store of hostile texts, and its vectors."""
    path = tmp_path_factory.mktemp("readers") / "a.kotovec"
    return path, write_texts(path, HOSTILE)


@pytest.mark.parametrize("file", ["a.txt", "a.bin", "a.vec", "a.glove", "a.txt.gz", "a.bin.gz"])
def test_gensim_reads_what_is_exported(tmp_path, file):
    """Except for U+FEFF alone, which gensim takes for the mark of an encoding."""
    models = pytest.importorskip("gensim.models")
    texts = [text for text in HOSTILE if text != "\ufeff"]
    vectors = write_texts(tmp_path / "a.kotovec", texts)
    made = export(tmp_path / "a.kotovec", tmp_path / file)
    options = {"binary": file.startswith("a.bin"), "no_header": file == "a.glove"}
    read = models.KeyedVectors.load_word2vec_format(str(tmp_path / file), **options)
    assert [unescape(key) for key in read.index_to_key] == texts
    assert same(read.vectors, vectors)
    assert made.listed is not None


@pytest.mark.parametrize("binary", [False, True])
def test_what_gensim_writes_is_imported_with_every_bit(tmp_path, binary):
    models = pytest.importorskip("gensim.models")
    words = [text for text in HOSTILE if text and not re.search(r"\s", text, re.ASCII) and "\x1c" not in text]
    vectors = make_vectors(len(words))
    keyed = models.KeyedVectors(5)
    keyed.add_vectors(words, vectors)
    path = tmp_path / ("a.bin" if binary else "a.txt")
    keyed.save_word2vec_format(str(path), binary=binary)
    import_vectors(path, tmp_path / "a.kotovec")
    texts, others = contents(tmp_path / "a.kotovec")
    assert texts == words
    assert same(others, vectors)


def test_fasttext_itself_reads_vec_as_pretrained_vectors(hostile, tmp_path):
    """Training with a rate of 0 leaves them as they were read."""
    fasttext = pytest.importorskip("fasttext")
    store, vectors = hostile
    export(store, tmp_path / "a.vec")
    (tmp_path / "a.txt").write_text("__label__a zzz\n__label__b zzz yyy\n")
    made = fasttext.train_supervised(
        str(tmp_path / "a.txt"), pretrainedVectors=str(tmp_path / "a.vec"), dim=5, lr=0, epoch=1, thread=1, verbose=0
    )
    lines = (tmp_path / "a.vec").read_bytes().decode().split("\n")[1:-1]
    words = [line.partition(" ")[0] for line in lines]
    assert [unescape(word) for word in words] == HOSTILE
    read = np.stack([made.get_word_vector(word) for word in words if not word.startswith("__label__")])
    # A word's vector is the sum of its rows there, and 0.0 + -0.0 is 0.0.
    assert np.array_equal(read, vectors[[not text.startswith("__label__") for text in HOSTILE]])


def test_the_columns_of_parquet_are_those_of_the_table(hostile, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    store, vectors = hostile
    export(store, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["id", "text", "surface", "kind", "vector"]
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<element: float")
    assert table["text"].to_pylist() == HOSTILE
    assert table["id"].to_pylist() == list(range(len(HOSTILE)))
    assert same(np.array(table["vector"].to_pylist(), dtype=np.float32), vectors)


def test_duckdb_reads_parquet_and_measures_its_vectors_without_a_cast(hostile, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    store, vectors = hostile
    export(store, tmp_path / "a.parquet")
    found = duckdb.read_parquet(str(tmp_path / "a.parquet"))
    assert list(map(str, found.types)) == ["BIGINT", "VARCHAR", "VARCHAR", "VARCHAR", "FLOAT[]"]
    rows = found.fetchall()
    assert [row[1] for row in rows] == HOSTILE
    assert same(np.array([row[4] for row in rows], dtype=np.float32), vectors)
    asked = vectors[HOSTILE.index("王")]
    score = f"list_cosine_similarity(vector, {asked.tolist()}::FLOAT[])"
    scores = found.filter("id > 2").project(score).fetchall()  # the first rows have numbers whose squares overflow
    wide = vectors[3:].astype(np.float64)
    expected = wide @ asked / np.linalg.norm(wide, axis=1) / np.linalg.norm(asked)
    assert np.allclose([value for (value,) in scores], expected, atol=1e-6)


def test_polars_reads_parquet_as_an_array_of_float32(hostile, tmp_path):
    polars = pytest.importorskip("polars")
    store, vectors = hostile
    export(store, tmp_path / "a.parquet")
    frame = polars.read_parquet(tmp_path / "a.parquet")
    assert frame.schema["vector"] == polars.Array(polars.Float32, 5)
    assert frame["text"].to_list() == HOSTILE
    assert same(frame["vector"].to_numpy(), vectors)


def test_arrow_s_own_file_has_arrays_of_a_fixed_size_for_polars_and_duckdb(hostile, tmp_path):
    ipc, polars, duckdb = (pytest.importorskip(name) for name in ("pyarrow.ipc", "polars", "duckdb"))
    store, vectors = hostile
    export(store, tmp_path / "a.arrow")
    frame = polars.read_ipc(tmp_path / "a.arrow")
    assert frame.schema["vector"] == polars.Array(polars.Float32, 5)
    assert frame["text"].to_list() == HOSTILE
    assert same(frame["vector"].to_numpy(), vectors)
    with ipc.open_file(tmp_path / "a.arrow") as file:
        table = file.read_all()
    found = duckdb.from_arrow(table)
    assert str(found.types[4]) == "FLOAT[5]"
    ordered = found.filter("id > 2").project("text, array_distance(vector, vector) AS far").fetchall()
    assert ordered == [(text, 0.0) for text in HOSTILE[3:]]


def test_what_polars_and_duckdb_write_is_imported(tmp_path):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    vectors = make_vectors(len(HOSTILE))
    frame = polars.DataFrame({"word": HOSTILE, "embedding": vectors}, schema_overrides={"word": polars.String})
    frame.write_parquet(tmp_path / "polars.parquet")
    frame.write_ipc(tmp_path / "polars.arrow")
    frame.write_ipc(tmp_path / "packed.feather", compression="lz4")
    duckdb.read_parquet(str(tmp_path / "polars.parquet")).write_parquet(str(tmp_path / "duckdb.parquet"))
    for name in ("polars.parquet", "duckdb.parquet", "polars.arrow", "packed.feather"):
        import_vectors(tmp_path / name, tmp_path / "a.kotovec", overwrite=True)
        texts, others = contents(tmp_path / "a.kotovec")
        assert texts == HOSTILE
        assert same(others, vectors)


def test_safetensors_itself_reads_what_is_exported(hostile, tmp_path):
    from safetensors.numpy import load_file

    store, vectors = hostile
    export(store, tmp_path / "a.safetensors")
    found = load_file(tmp_path / "a.safetensors")
    assert same(found["vectors"], vectors)
    words, offsets = found["words"].tobytes(), found["offsets"].tolist()
    assert [words[start:stop].decode() for start, stop in pairwise(offsets)] == HOSTILE


def test_numpy_itself_reads_the_array_and_its_words(hostile, tmp_path):
    store, vectors = hostile
    export(store, tmp_path / "a.npy")
    assert same(np.load(tmp_path / "a.npy"), vectors)
    with (tmp_path / "a.words.txt").open(newline="\n", encoding="utf-8") as file:
        assert [unescape(line.removesuffix("\n")) for line in file] == HOSTILE


def test_the_pair_of_the_projector_is_tab_separated_without_quotes(hostile, tmp_path):
    store, vectors = hostile
    export(store, tmp_path / "a.tsv")
    with (tmp_path / "a.tsv").open(newline="\n", encoding="utf-8") as file:
        read = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n"))
    assert same(np.array(read, dtype=np.float64).astype(np.float32), vectors)
    lines = (tmp_path / "a.metadata.tsv").read_bytes().decode().split("\n")
    assert [unescape(line) for line in lines[:-1]] == HOSTILE
    assert lines[-1] == ""
