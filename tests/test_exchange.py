"""Files of vectors, out of a store and back: every text and every bit, in every format."""

import gzip
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.exchange.escapes import escape, unescape
from kotovec.store.exchange.exporting import export_vectors
from kotovec.store.exchange.formats import Format
from kotovec.store.exchange.importing import import_vectors

import stores
from exchanged import HOSTILE, TEXTS, contents, export, make_vectors, same, write_texts

NAMES = {
    "word2vec": "a.txt",
    "word2vec-bin": "a.bin",
    "glove": "a.glove",
    "fasttext": "a.vec",
    "npy": "a.npy",
    "safetensors": "a.safetensors",
    "parquet": "a.parquet",
    "arrow": "a.arrow",
    "projector": "a.tsv",
}
ZIPPED = ["word2vec", "word2vec-bin", "glove", "fasttext"]
FILES = [*NAMES.items(), *((each, f"{NAMES[each]}.gz") for each in ZIPPED)]


@pytest.mark.parametrize(("name", "file"), FILES)
def test_every_text_and_every_bit_comes_back(tmp_path, name, file):
    vectors = write_texts(tmp_path / "a.kotovec", HOSTILE)
    made = export(tmp_path / "a.kotovec", tmp_path / file)
    assert (made.format, made.words, made.dimensions) == (name, len(HOSTILE), 5)
    found = import_vectors(tmp_path / file, tmp_path / "b.kotovec", escaped=made.listed is not None)
    assert (found.format, found.words) == (name, len(HOSTILE))
    texts, others = contents(tmp_path / "b.kotovec")
    assert texts == HOSTILE
    assert same(others, vectors)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=30, unique=True))
def test_any_texts_come_back(tmp_path_factory, name, texts):
    folder = tmp_path_factory.mktemp("any")
    vectors = write_texts(folder / "a.kotovec", texts, 2)
    made = export(folder / "a.kotovec", folder / NAMES[name])
    import_vectors(folder / NAMES[name], folder / "b.kotovec", escaped=made.listed is not None)
    found, others = contents(folder / "b.kotovec")
    assert found == texts
    assert same(others, vectors)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_two_texts_never_have_one_escape(text, other):
    assert unescape(escape(text)) == text
    assert (escape(text) == escape(other)) == (text == other)
    assert not re.search(r"\s", escape(text))


def test_texts_that_fit_stay_as_they_are_and_without_a_list(tmp_path):
    texts = ["\\n", "new␣york", "a\u00a0b", "nan", '"']
    write_texts(tmp_path / "a.kotovec", texts)
    made = export(tmp_path / "a.kotovec", tmp_path / "a.txt")
    assert (made.escaped, made.listed) == (0, None)
    assert [line.split(" ")[0] for line in (tmp_path / "a.txt").read_text().splitlines()[1:]] == texts
    import_vectors(tmp_path / "a.txt", tmp_path / "b.kotovec")
    assert contents(tmp_path / "b.kotovec")[0] == texts


def test_texts_that_do_not_fit_are_escaped_and_listed_beside_the_file(tmp_path):
    write_texts(tmp_path / "a.kotovec", ["new york", "a", "\\n", "\n", ""])
    made = export(tmp_path / "a.kotovec", tmp_path / "a.txt")
    assert made.escaped == 4
    words = [line.split(" ")[0] for line in (tmp_path / "a.txt").read_text().splitlines()[1:]]
    assert words == ["new␣york", "a", "\\\\n", "\\n", "\\e"]
    assert made.listed == tmp_path / "a.txt.escaped.tsv"
    assert made.listed.read_text() == (
        'row\twritten\ttext\n0\tnew␣york\t"new york"\n2\t\\\\n\t"\\\\n"\n3\t\\n\t"\\n"\n4\t\\e\t""\n'
    )
    import_vectors(tmp_path / "a.txt", tmp_path / "b.kotovec")
    assert contents(tmp_path / "b.kotovec")[0] == words


def test_the_numbers_are_the_shortest_that_float32_reads_back(tmp_path):
    write_texts(tmp_path / "a.kotovec", ["a", "b"], 6)
    export(tmp_path / "a.kotovec", tmp_path / "a.vec")
    assert (tmp_path / "a.vec").read_text() == (
        "2 6\na 0.0 -0.0 1.0 0.1 -0.33333334 1e-45\n"
        "b 3.4028235e+38 1.1754944e-38 1.6777216e+07 1e+16 -1e-07 123456.79\n"
    )


def test_half_precision_becomes_float32_exactly(tmp_path):
    tokens = stores.numbered(3)
    vectors = make_vectors(20)[10:13]
    stores.write_store(tmp_path / "a.kotovec", tokens, vectors, dtype="float16")
    with Store.open(tmp_path / "a.kotovec") as store:
        export_vectors(store, Space("isolated", 12), tmp_path / "a.bin")
    import_vectors(tmp_path / "a.bin", tmp_path / "b.kotovec")
    assert same(contents(tmp_path / "b.kotovec")[1], vectors.astype(np.float16).astype(np.float32))


def test_the_same_vectors_give_the_same_bytes(tmp_path):
    write_texts(tmp_path / "a.kotovec", ["a", "b"])
    for name in ("a.txt.gz", "b.txt.gz"):
        export(tmp_path / "a.kotovec", tmp_path / name)
    assert (tmp_path / "a.txt.gz").read_bytes() == (tmp_path / "b.txt.gz").read_bytes()


@pytest.mark.parametrize(
    ("file", "data", "texts"),
    [
        ("a.vec", "2 2\nking 1 2 \nqueen 3 4 \n", ["king", "queen"]),  # as fastText and word2vec write them
        ("a.txt", "2 2\r\nking 1 2\r\nqueen 3 4\r\n", ["king", "queen"]),
        ("a.txt", "king 1 2\nqueen 3 4", ["king", "queen"]),  # GloVe, as there is no header
        ("a.txt", "\ufeff2 2\nking 1 2\nqueen 3 4\n\n", ["king", "queen"]),
        ("a.glove", "\ufeffking 1 2\nqueen 3 4\n", ["king", "queen"]),
        ("a.txt", "king 1 2\n. . . 3 4\n", ["king", ". . ."]),  # glove.840B.300d has words with spaces
        ("a.txt", "king +1 .2e1\nnan 3. 4E0\n", ["king", "nan"]),
    ],
)
def test_what_other_tools_write_is_read(tmp_path, file, data, texts):
    (tmp_path / file).write_bytes(data.encode())
    import_vectors(tmp_path / file, tmp_path / "a.kotovec")
    found, vectors = contents(tmp_path / "a.kotovec")
    assert found == texts
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_words_of_word2vec_s_own_binary_files_begin_behind_a_line_break(tmp_path):
    rows = [np.array(row, dtype="<f4").tobytes() for row in ([1, 2], [3, 4])]
    for name, end in (("word2vec", b"\n"), ("gensim", b"")):
        data = b"2 2\n" + b"".join(word + b" " + row + end for word, row in zip((b"king", b"queen"), rows, strict=True))
        (tmp_path / f"{name}.bin.gz").write_bytes(gzip.compress(data))
        import_vectors(tmp_path / f"{name}.bin.gz", tmp_path / f"{name}.kotovec")
        found, vectors = contents(tmp_path / f"{name}.kotovec")
        assert (found, vectors.tolist()) == (["king", "queen"], [[1, 2], [3, 4]])


def test_blocks_end_within_a_file(tmp_path, monkeypatch):
    for module in ("text", "binary", "exporting"):
        monkeypatch.setattr(f"kotovec.store.exchange.{module}.NUMBERS", 12)
    monkeypatch.setattr("kotovec.store.exchange.binary.CHUNK", 7)
    texts = [f"w{number}" for number in range(11)]
    vectors = write_texts(tmp_path / "a.kotovec", texts)
    for name, file in NAMES.items():
        export(tmp_path / "a.kotovec", tmp_path / file)
        import_vectors(tmp_path / file, tmp_path / "b.kotovec", format=Format(name), overwrite=True)
        found, others = contents(tmp_path / "b.kotovec")
        assert found == texts
        assert same(others, vectors)


def test_the_files_beside_an_array_and_of_the_projector(tmp_path):
    write_texts(tmp_path / "a.kotovec", ["new york", "b\tc", ""], 2)
    export(tmp_path / "a.kotovec", tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape == (3, 2)
    assert (tmp_path / "a.words.txt").read_bytes() == b"new york\nb\tc\n\n"
    made = export(tmp_path / "a.kotovec", tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text() == "0.0\t-0.0\n1.0\t0.1\n-0.33333334\t1e-45\n"
    assert (tmp_path / "a.metadata.tsv").read_text() == "new york\nb\\tc\n\\e\n"
    assert made.listed == tmp_path / "a.tsv.escaped.tsv"
    with pytest.raises(InputError, match="a.words.txt exists"):
        (tmp_path / "a.npy").unlink()
        export(tmp_path / "a.kotovec", tmp_path / "a.npy")


def test_what_gensim_shall_read_is_word2vec_s_binary_format(tmp_path):
    from kotovec.store.exchange.formats import GENSIM, named

    assert named(GENSIM) is Format.WORD2VEC_BIN
    write_texts(tmp_path / "a.kotovec", ["a"])
    for options in ({}, {"format": GENSIM}):
        with pytest.raises(InputError, match="a.kv has the ending of a pickle") as caught:
            export(tmp_path / "a.kotovec", tmp_path / "a.kv", **options)
        assert caught.value.hint == "name a file that ends in .bin, which gensim's load_word2vec_format reads"


@pytest.mark.parametrize(
    ("text", "words", "vectors"),
    [
        ("new york 1 2\nparis 3 4\n", ["new york", "paris"], [[1, 2], [3, 4]]),
        (". . . 1 2\nnew york 3 4\n", [". . .", "new york"], [[1, 2], [3, 4]]),
        ("new york 1 2\n7 3 4\n", ["new york", "7"], [[1, 2], [3, 4]]),
        ("7 1 2\nnew york 3 4\n", ["7", "new york"], [[1, 2], [3, 4]]),
        ("new york 1 2\n", ["new york"], [[1, 2]]),
    ],
)
def test_a_first_word_with_a_space_is_no_number_of_glove(tmp_path, text, words, vectors):
    (tmp_path / "a.txt").write_text(text)
    made = import_vectors(tmp_path / "a.txt", tmp_path / "a.kotovec", format="glove")
    assert (made.words, made.dimensions) == (len(words), 2)
    with Store.open(tmp_path / "a.kotovec") as store:
        assert list(store.tokens.texts) == words
        assert store.array("imported").tolist() == vectors
