"""A file of vectors that is wrong is one error with its line, and leaves nothing; an import takes flat memory."""

import gzip
import io
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from kotovec.errors import InputError, StoreError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.exchange.exporting import export_vectors
from kotovec.store.exchange.importing import import_vectors

from commands import PEAK_KB, environment, start
from exchanged import contents, write_texts

HEADED = "3 2\na 1 2\nb 3 4\n"


def refused(folder, name, data, **options):
    """The message of a refusal to import, after which nothing but the file is in its folder."""
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(InputError) as caught:
        import_vectors(folder / name, folder / "a.kotovec", **options)
    assert sorted(os.listdir(folder)) == [name]
    assert caught.value.hint, caught.value
    return str(caught.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.vec", "2 2\na 1 2\nb 3\n", "a.vec:3: 1 number, and the first line says 2"),
        ("a.vec", "2 2\na 1 2\nb 3 4 5\n", "a.vec:3: 3 numbers, and the first line says 2"),
        ("a.vec", "2 2\na 1 2\nb  3 4\n", "a.vec:3: two spaces in a row"),
        ("a.vec", "2 2\na 1 2\nb\t3\t4\n", "a.vec:3: 0 numbers, and the first line says 2"),
        ("a.txt", "a 1 2\nb 3\n", "a.txt:2: 1 number, and the first line has 2"),
        ("a.txt", "new york 1 2\nb 3\n", "a.txt:2: 1 number, and the first line has 3"),
        ("a.txt", "a 1,5 2\nb 3 4\n", "a.txt:1: `1,5`, number 1 of the vector, is no number"),
        ("a.vec", "2 2\na 1 2\n\nb 3 4\n", "a.vec:3: the line is empty"),
        ("a.vec", b"2 2\na 1 2\n\xff 3 4\n", "a.vec:3: the word is not UTF-8"),
        ("a.vec", "2 2\na 1 2\na 3 4\n", "a.vec:3: `a` is a duplicate of {}a.vec:2"),
        ("a.vec", "2 2\na 1 2\nb\0 3 4\n", "a.vec:3: the word holds a NUL character, which no store can"),
        ("a.vec", f"2 2\na 1 2\n{'b' * 5000} 3 4\n", "a.vec:3: a word of 5,000 bytes, over 4,096"),
        ("a.vec", "2 2\na 1 2\nb 3 x\n", "a.vec:3: `x`, number 2 of the vector, is no number"),
        ("a.vec", "2 2\na 1 2\nb 3 1_0\n", "a.vec:3: `1_0`, number 2 of the vector, is no number"),
        ("a.vec", "2 2\na 1,5 2\nb 3 4\n", "a.vec:2: `1,5`, number 1 of the vector, is no number"),
        ("a.vec", "2 2\na 1-2 3\nb  4\n", "a.vec:2: `1-2`, number 1 of the vector, is no number"),
        ("a.vec", "2 2\na 1.2.3 2\nb 3 4\n", "a.vec:2: `1.2.3`, number 1 of the vector, is no number"),
        ("a.vec", "2 2\na 1 2\nb nan 4\n", "a.vec:3: `nan`, number 1 of the vector, is not finite"),
        ("a.vec", "2 2\na 1 2\nb 3 -Inf\n", "a.vec:3: `-Inf`, number 2 of the vector, is not finite"),
        ("a.vec", "2 2\na 1 2\nb 3 1e39\n", "a.vec:3: `1e39`, number 2 of the vector, is too large for float32"),
        ("a.vec", HEADED, "a.vec:1: the first line says 3 words, and 2 lines follow"),
        ("a.vec", "1 2\na 1 2\nb 3 4\n", "a.vec:1: the first line says 1 word, and 2 lines follow"),
        ("a.vec", "2 3\na 1 2\nb 3 4\n", "a.vec:2: 2 numbers, and the first line says 3"),
        ("a.vec", "2 0\na\nb\n", "a.vec:1: 0 dimensions"),
        ("a.vec", "a 1 2\nb 3 4\n", "a.vec:1: the first line is not the numbers of words and of dimensions"),
        ("a.vec", "2 2\n", "a.vec holds no vector"),
        ("a.vec", "", "a.vec holds no vector"),
        ("a.txt", "word\n", "a.txt:1: no word with numbers behind it"),
        ("a.bin", "", "a.bin is empty"),
        ("a.bin", "word 1 2\n", "a.bin: it does not begin with a line of the numbers of words and of dimensions"),
        ("a.bin", b"2 1\na \0\0\0\0b \0\0", "a.bin: the file ends in word 2 of 2 that its first line says"),
        ("a.bin", b"1 1\na \0\0\0\0b \0\0\0\0", "a.bin: more follows than the 1 word that its first line says"),
        ("a.bin", b"2 1\na \0\0\0\0\xff \0\0\0\0", "a.bin: word 2: the word is not UTF-8"),
        ("a.bin", b"2 1\na \0\0\0\0a \0\0\0\0", "a.bin: word 2: `a` is a duplicate of {}a.bin: word 1"),
        ("a.bin", b"2 1\na \0\0\0\0b \0\0\x80\x7f", "a.bin: word 2: its vector is not finite"),
        ("a.bin", b"1 1\n" + b"a" * 9000, "a.bin: word 1: no space ends the word"),
        ("a.bin", "0 5\n", "a.bin: 0 words of 5 dimensions"),
        ("a.bin", "99999999999 5\na ", "a.bin: the file ends in word 1 of 99,999,999,999 that its first line says"),
        ("a.vec.gz", gzip.compress(HEADED.encode())[:-9], "a.vec.gz is no complete gzip file"),
        ("a.vec.gz", HEADED, "a.vec.gz is no complete gzip file"),
        ("a.xyz", HEADED, "a.xyz has an ending of no known format"),
        ("vectors", HEADED, "vectors has no ending that says its format"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_nothing_is_left(tmp_path, name, data, message):
    assert refused(tmp_path, name, data) == message.format(f"{tmp_path}/")


def test_an_escape_that_is_none_is_named_with_its_line(tmp_path):
    assert refused(tmp_path, "a.vec", "1 1\na\\x 1\n", escaped=True) == "a.vec:2: `\\x` is no escape"
    message = refused(tmp_path, "a.vec", "1 1\na\\ud800 1\n", escaped=True)
    assert message == "a.vec:2: the word holds half a surrogate pair"
    assert refused(tmp_path, "a.vec", "1 1\na\\Uffffffff 1\n", escaped=True) == "a.vec:2: `\\Uffffffff` is no escape"


@pytest.mark.parametrize("name", ["a.model", "a.bin", "a.vec"])
def test_a_pickle_is_refused_unread(tmp_path, name):
    message = f"{name} is a pickle, which runs whatever code is in it when it is read"
    assert refused(tmp_path, name, b"\x80\x04\x95") == message


def test_a_file_that_changes_between_its_two_readings_is_refused(tmp_path, monkeypatch):
    from kotovec.store.exchange.text import TextSource

    blocks = TextSource.blocks

    def changed(source):
        (tmp_path / "a.vec").write_text("3 2\na 1 2\nb 3 4\nc 5 6\n")
        return blocks(source)

    monkeypatch.setattr(TextSource, "blocks", changed)
    assert refused(tmp_path, "a.vec", "2 2\na 1 2\nb 3 4\n") == "a.vec changed while it was read"


def test_a_store_is_replaced_only_with_overwrite_and_completely(tmp_path):
    (tmp_path / "a.vec").write_text("1 2\na 1 2\n")
    import_vectors(tmp_path / "a.vec", tmp_path / "a.kotovec")
    with pytest.raises(StoreError, match="a.kotovec exists") as caught:
        import_vectors(tmp_path / "a.vec", tmp_path / "a.kotovec")
    assert caught.value.hint == "add --overwrite to replace it, or name another folder"
    (tmp_path / "b.vec").write_text("2 2\nb 1 2\nc 1 x\n")
    with pytest.raises(InputError):
        import_vectors(tmp_path / "b.vec", tmp_path / "a.kotovec", overwrite=True)
    assert contents(tmp_path / "a.kotovec")[0] == ["a"]
    (tmp_path / "b.vec").write_text("1 2\nb 1 2\n")
    import_vectors(tmp_path / "b.vec", tmp_path / "a.kotovec", overwrite=True)
    assert contents(tmp_path / "a.kotovec")[0] == ["b"]
    assert sorted(os.listdir(tmp_path)) == ["a.kotovec", "a.vec", "b.vec"]


def test_a_folder_of_somebody_s_is_never_replaced(tmp_path):
    (tmp_path / "a.vec").write_text("1 2\na 1 2\n")
    (tmp_path / "a.kotovec").mkdir()
    (tmp_path / "a.kotovec" / "notes.txt").touch()
    with pytest.raises(StoreError, match="is not a store: it holds notes.txt"):
        import_vectors(tmp_path / "a.vec", tmp_path / "a.kotovec", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["a.kotovec", "a.vec"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_leaves_nothing(tmp_path, number):
    (tmp_path / "a.vec").write_text("2 2\na 1 2\nb 3 4\n")
    script = (
        "import os, sys\nfrom kotovec.store.exchange.text import TextSource\nblocks = TextSource.blocks\n"
        f"def slow(source):\n    yield next(blocks(source))\n    os.kill(os.getpid(), {int(number)})\n"
        "    import time; time.sleep(20)\nTextSource.blocks = slow\n"
        "from kotovec.cli.entry import main; main()"
    )
    words = ["convert", str(tmp_path / "a.vec"), str(tmp_path / "a.kotovec")]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.vec"]


@pytest.mark.parametrize("name", ["a.bin", "a.npy", "a.safetensors", "a.parquet", "a.arrow"])
def test_an_import_takes_no_more_memory_for_more_vectors(tmp_path, name):
    """16,000 and 64,000 rows of 300 numbers, 19 and 77 MB."""
    peaks = []
    for rows in (16_000, 64_000):
        vectors = np.random.default_rng(0).standard_normal((rows, 300)).astype("<f4")
        with (tmp_path / "a.bin").open("wb") as file:
            file.write(b"%d 300\n" % rows)
            file.writelines(b"w%d %s" % (row, vector.tobytes()) for row, vector in enumerate(vectors))
        if name != "a.bin":
            import_vectors(tmp_path / "a.bin", tmp_path / "all.kotovec", overwrite=True)
            with Store.open(tmp_path / "all.kotovec") as store:
                export_vectors(store, Space("imported"), tmp_path / name, overwrite=True)
        report = f"import atexit, sys; atexit.register(lambda: print({PEAK_KB}, file=sys.stderr)); "
        done = start("convert", tmp_path / name, tmp_path / f"{rows}.kotovec", "-q", prepare=report)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stderr))
    assert contents(tmp_path / "64000.kotovec")[1].shape == (64_000, 300)
    assert peaks[1] - peaks[0] < 35_000  # KB: of 57,600 more that the vectors take


def test_a_full_export_leaves_nothing_where_a_file_cannot_be_written(tmp_path):
    write_texts(tmp_path / "a.kotovec", ["a b", "c"])
    (tmp_path / "a.vec").mkdir()
    with Store.open(tmp_path / "a.kotovec") as store, pytest.raises(InputError, match="a.vec exists"):
        export_vectors(store, Space("static"), tmp_path / "a.vec")
    assert sorted(os.listdir(tmp_path)) == ["a.kotovec", "a.vec"]


def array(*rows, dtype="<f4"):
    """The bytes of a `.npy` file."""
    file = io.BytesIO()
    np.save(file, np.array(rows, dtype=dtype))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words", "message"),
    [
        ("a.npy", array([1, 2]), None, "a.npy holds no words, and there is no file {}a.words.txt"),
        ("a.npy", array([1, 2]), "a\nb\n", "{}a.words.txt has 2 words, and {}a.npy 1 vector"),
        ("a.npy", array([1, 2], [3, 4]), "a\na\n", "a.words.txt:2: `a` is a duplicate of {}a.words.txt:1"),
        ("a.npy", array([1, 2], [3, np.inf]), "a\nb\n", "a.npy: row 2: its vector is not finite in float32"),
        ("a.npy", array([1, 1e39], dtype="<f8"), "a\n", "a.npy: row 1: its vector is not finite in float32"),
        ("a.npy", array(1, 2), "a\nb\n", "a.npy: an array of 2"),
        ("a.npy", array(["1", "2"], dtype="U1"), "a\n", "a.npy: numbers of the type <U1"),
        ("a.tsv", "1\t2\n3\n", "a\nb\n", "a.tsv:2: 1 number, and the first line has 2"),
        ("a.tsv", "1\t2\n3\tx\n", "a\nb\n", "a.tsv:2: `x`, number 2 of the vector, is no number"),
        ("a.tsv", "1\t2\n3\t4\n", "a\n", "{}a.metadata.tsv has 1 word, and {}a.tsv 2 vectors"),
        ("a.tsv", "1\t2\n", "a\tb\n", "a.metadata.tsv:1: several columns"),
    ],
)
def test_what_is_wrong_in_a_pair_of_files_is_named_with_its_line(tmp_path, name, data, words, message):
    beside = tmp_path / {"a.npy": "a.words.txt", "a.tsv": "a.metadata.tsv"}[name]
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    if words is not None:
        beside.write_text(words)
    with pytest.raises(InputError) as caught:
        import_vectors(tmp_path / name, tmp_path / "a.kotovec")
    folder = f"{tmp_path}/"
    assert str(caught.value).removeprefix(folder) == message.replace("{}", folder).removeprefix(folder)
    assert {path.name for path in tmp_path.iterdir()} <= {name, beside.name}


def test_an_array_that_would_have_to_be_unpickled_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print, {}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is no array of numbers"):
        import_vectors(tmp_path / "a.npy", tmp_path / "a.kotovec")


@pytest.mark.parametrize("name", ["a.safetensors", "a.parquet", "a.arrow", "a.npy"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"\xff" * 40])
def test_what_is_no_file_of_its_format_is_one_error(tmp_path, name, data):
    kinds = "(safetensors file|Parquet file|Arrow file|array) of (numbers|vectors)"
    assert re.match(rf"{name} is no {kinds} ", refused(tmp_path, name, data))


def write_columns(path, words, vectors):
    """Write a table with a group for each row, as Parquet or as Feather."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"word": words, "embedding": pa.array(vectors, type=pa.list_(pa.float64()))})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=1)
        return
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table, max_chunksize=1)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        (["a", "b"], [[1, 2], [3]], "{}: row 2: 1 number, and the first row has 2"),
        (["a", "b"], [[1, 2], None], "{}: row 2: 0 numbers, and the first row has 2"),
        (["a", "b"], [[1, 2], [3, None]], "{}: row 2: its vector is not finite in float32"),
        (["a", None], [[1, 2], [3, 4]], "{}: row 2: no word"),
        (["a", "a"], [[1, 2], [3, 4]], "{}: row 2: `a` is a duplicate of {}: row 1"),
        ([], [], "{}: no vector in the first row of embedding"),
    ],
)
def test_what_is_wrong_in_columns_is_named_with_its_row(tmp_path, name, words, vectors, message):
    write_columns(tmp_path / name, words, vectors)
    found = refused(tmp_path, name, (tmp_path / name).read_bytes())
    assert found == message.format(name, tmp_path / name)


def test_columns_and_tensors_of_other_tools_are_read(tmp_path):
    from safetensors.numpy import save_file

    for name in ("a.parquet", "a.feather"):
        write_columns(tmp_path / name, ["a", "b"], [[1, 2], [3, 4]])
    save_file({"embeddings": np.array([[1, 2], [3, 4]], dtype=np.float16)}, tmp_path / "b.safetensors")
    (tmp_path / "b.words.txt").write_text("a\nb\n")
    for name in ("a.parquet", "a.feather", "b.safetensors"):
        import_vectors(tmp_path / name, tmp_path / "a.kotovec", overwrite=True)
        words, vectors = contents(tmp_path / "a.kotovec")
        assert (words, vectors.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
