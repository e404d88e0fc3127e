"""Reading a corpus: the same sentences however it is cut, packed or sent, and every fault by file and line."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from kotovec.cluster.corpus import Corpus, Counts, Fault, cut, list_files, locate, reading, sentences
from kotovec.cluster.corpus import lines as lines_module
from kotovec.errors import CorpusError

from corpora import PACK, corpus_of, json_lines, read_all, write, write_parquet

DATA = Path(__file__).parent / "data"
MB = 1 << 20
MOST = 16 * MB

TEXT = st.text(st.sampled_from("ab. A\u3000\r\x00é王。」\u2028"), max_size=12)
LINE = st.one_of(
    TEXT.map(str.encode), st.just(b"bad \xff."), st.just(b"x" * 30), st.just(b"y" * 31 + b". Z"), st.just(b"")
)
ENDS = st.sampled_from([b"\n", b"\r\n", b""])


def reference(content, most, split="sentence"):
    """The sentences of a text and its faults, all lines in memory."""
    from kotovec.cluster.corpus.splitter import splitter

    faults = Counter()
    kept = []
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for line in lines if lines[-1] else lines[:-1]:
        if len(line) > most:
            faults["lines longer than 16 MB"] += 1
            continue
        text = None
        if line.count(b"\0") <= len(line) / 4:  # as UTF-16 has
            with contextlib.suppress(UnicodeDecodeError):
                text = line.decode()
        if text is None:
            faults["lines that are not UTF-8"] += 1
            continue
        kept += [sentence for sentence in splitter(Corpus(("x",), split=split))(text) if sentence]
    return kept, dict(faults)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


@settings(max_examples=150)
@given(st.lists(st.tuples(LINE, ENDS), max_size=12), st.integers(1, 60), st.integers(1, 20), st.booleans())
def test_any_cut_into_pieces_gives_the_same_sentences(scratch, lines, piece_bytes, block, sent):
    content = b"".join(line + end for line, end in lines)
    path = write(scratch / "a.txt", content)
    corpus = corpus_of(path)
    with (
        mock.patch.object(lines_module, "BLOCK_BYTES", block),
        mock.patch.object(reading, "BLOCK_BYTES", block),
        mock.patch.object(lines_module, "MOST_LINE", 32),
        mock.patch.object(reading, "MOST_LINE", 32),
    ):
        found, counts, pieces = read_all(corpus, piece_bytes, sent)
        whole = read_all(corpus)
        expected, faults = reference(content, 32)
    assert found == expected == whole[0]
    assert counts.faults == faults == whole[1].faults
    assert (counts.lines, counts.bytes, counts.sentences) == (whole[1].lines, whole[1].bytes, len(expected))
    assert counts.documents == whole[1].documents
    assert counts.lines == len(content.split(b"\n")) - (not content or content.endswith(b"\n"))
    assert len(pieces) == -(-len(content) // piece_bytes)
    # Wherever the cuts are, a fault is on the same line of the file.
    assert locate(pieces) == [Fault(f.path, 0, f.line, f.kind) for f in whole[1].examples]


TEXTS = [
    "The king came. He left.",
    "王は来た。「はい。」と言った。そして帰った。",
    "",
    "Two lines\nin one text. Yes.\r\nThird",
    "e\u0301 x\u00a0y\x00z",
    "last one",
]


@pytest.mark.parametrize("split", ["sentence", "line", "9"])
@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("sent", [False, True])
def test_text_json_and_parquet_give_the_same_sentences_packed_or_not(tmp_path, split, packing, sent):
    flat = [text for text in TEXTS if "\n" not in text]
    options = {"split": split, "max_chars": 100}
    plain = read_all(corpus_of(write(tmp_path / "a.txt", "\n".join(flat)), **options))
    assert len(plain[0]) >= len(flat) - 1
    for name, content in ((f"b.txt{packing}", "\n".join(flat).encode()), (f"c.jsonl{packing}", json_lines(flat))):
        found, counts, _ = read_all(corpus_of(write(tmp_path / name, PACK[packing](content)), **options), 20, sent)
        assert found == plain[0]
        assert (counts.documents, counts.faults) == (4, {})
        assert counts.bytes == len(content)
    found, counts, pieces = read_all(corpus_of(write_parquet(tmp_path / "d.parquet", flat), **options), 1, sent)
    assert (found, len(pieces)) == (plain[0], 3)
    assert (counts.lines, counts.documents, counts.faults) == (5, 4, {})
    assert counts.bytes == sum(len(text.encode()) for text in flat)


def test_line_breaks_within_a_text_end_sentences_but_not_pieces_of_a_length(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines(["one\ntwo. Three\r\nfour"]))
    assert read_all(corpus_of(path))[0] == ["one", "two.", "Three", "four"]
    assert read_all(corpus_of(path, split="line"))[0] == ["one", "two. Three", "four"]
    assert read_all(corpus_of(path, split="100"))[0] == ["one two. Three four"]


def test_bounds_are_in_characters_and_what_they_exclude_is_counted(tmp_path):
    path = write(tmp_path / "a.txt", "王様\n王様だ\n王様だよね\n王様ですよね\n\n  \n")
    found, counts, _ = read_all(corpus_of(path, min_chars=3, max_chars=5))
    assert found == ["王様だ", "王様だよね"]
    assert (counts.sentences, counts.too_short, counts.too_long) == (2, 1, 1)
    assert (counts.lines, counts.documents) == (6, 4)


def test_several_frames_and_members_are_one_file(tmp_path):
    for packing, pack in PACK.items():
        path = write(tmp_path / f"a.txt{packing}", pack(b"one\ntw") + pack(b"") + pack(b"o\nthree"))
        assert read_all(corpus_of(path))[0] == ["one", "two", "three"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + json_lines(["one", "\ufefftwo"]))
    assert read_all(corpus_of(path))[0] == ["one", "\ufefftwo"]


def examples(path, content, piece_bytes=64 << 20, **options):
    """Sentences, and where the faults are."""
    found, counts, pieces = read_all(corpus_of(write(path, content), **options), piece_bytes)
    located = locate(pieces)
    assert {fault.path for fault in located} <= {str(path)}
    assert sum(counts.faults.values()) >= len(located)
    return found, counts.faults, [(fault.line, fault.kind) for fault in located]


@pytest.mark.parametrize("piece_bytes", [1 << 20, 7])
def test_bytes_that_are_no_text_cost_their_line_alone(tmp_path, piece_bytes):
    kind = "lines that are not UTF-8"
    found = examples(tmp_path / "a.txt", b"one\nk\xf6nig\n\xed\xa0\x80\nfour\n", piece_bytes)
    assert found == (["one", "four"], {kind: 2}, [(2, kind), (3, kind)])


def test_another_encoding_gives_faults_and_no_sentences(tmp_path):
    for text in ("Größe\nwäre\n", "they have the\nking\n"):  # the latter is UTF-8 with NUL in it
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            found, faults, _ = examples(tmp_path / "a.txt", text.encode(encoding))
            assert found == []
            assert faults["lines that are not UTF-8"] in (2, 3)  # and a last NUL


@pytest.mark.parametrize("piece_bytes", [1 << 20, 40])
def test_json_that_is_none_and_records_without_text_are_named(tmp_path, piece_bytes):
    lines = ['{"text": "one"}', '{"text": ', "[1]", '"two"', "", '{"body": "x"}', '{"text": null}', '{"text": 3}']
    lines += ['{"text": "a\\ud800"}', "[" * 100_000, '{"text": "\\ud83d\\ude00"}', '{"text": 1' + "0" * 5000 + "}"]
    found = examples(tmp_path / "a.jsonl", "\n".join(lines), piece_bytes)
    not_json, missing = "lines that are not JSON objects", "records without the field 'text'"
    no_text, half = "records whose field 'text' is not text", "texts with half a surrogate pair"
    assert found[0] == ["one", "😀"]
    assert found[1] == {not_json: 5, missing: 2, no_text: 1, half: 1}
    assert found[2] == [
        *((2, not_json), (3, not_json), (4, not_json), (6, missing), (7, missing)),
        *((8, no_text), (9, half), (10, not_json), (12, not_json)),
    ]
    assert read_all(corpus_of(tmp_path / "a.jsonl", field="body"))[0] == ["x"]


def test_values_of_parquet_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    raw = pa.array([b"one", b"\xff", None, b"four", b""], pa.binary()).cast(pa.string(), safe=False)
    schema = pa.schema([("text", pa.string()), ("n", pa.int64())])
    table = pa.Table.from_arrays([pa.array(raw), pa.array(range(5))], schema=schema)
    parquet.write_table(table, path, row_group_size=2)
    for sent in (False, True):
        found, counts, pieces = read_all(corpus_of(path), 1, sent)
        assert found == ["one", "four"]
        assert counts.faults == {"lines that are not UTF-8": 1, "records without the field 'text'": 1}
        assert [fault.line for fault in locate(pieces)] == [2, 3]
        found, counts, _ = read_all(corpus_of(path, field="n"), 1, sent)
        assert (found, counts.faults) == ([], {"records whose field 'n' is not text": 5})


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.binary()), pa.dictionary(pa.int8(), pa.string())],
)
def test_bytes_in_parquet_are_texts_unless_they_are_not_utf8(tmp_path, kind):
    """Every row of a column of bytes was counted as not UTF-8, and the corpus had no sentence."""
    path = tmp_path / "a.parquet"
    texts = ["one", "王は男である。", None, "four", ""]
    values = [None if text is None else text.encode() for text in texts]
    if pa.types.is_dictionary(kind) and kind.value_type == pa.string():
        array, bad = pa.array(texts, kind), 0
    else:
        array, bad = pa.array([*values, b"\xff\xfe", b"\xe7\x8e"], kind), 2
    parquet.write_table(pa.table({"text": array}), path, row_group_size=2)
    for sent in (False, True):
        found, counts, pieces = read_all(corpus_of(path), 1, sent)
        assert found == ["one", "王は男である。", "four"]
        assert counts.faults.pop("records without the field 'text'") == 1
        assert counts.faults == ({"lines that are not UTF-8": 2} if bad else {})
        assert [fault.line for fault in locate(pieces)] == [3, 6, 7][: 1 + bad]
        assert counts.bytes == sum(len(text) for text in values if text)


def test_parquet_that_lacks_the_column_later_is_a_fault_of_every_row(tmp_path):
    corpus = corpus_of(write_parquet(tmp_path / "a.parquet", ["one"] * 5, field="body"))
    for sent in (False, True):
        counts = Counts()
        for piece in cut(list_files(corpus)):  # which is not given the corpus
            data = reading.read_piece(piece, corpus) if sent else None
            assert list(sentences(piece, corpus, counts, data)) == []
        assert (counts.lines, counts.faults) == (5, {"records without the field 'text'": 5})


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("form", ["a.txt", "a.jsonl", "a.xml", "a-pages-articles-multistream.xml"])
def test_a_compressed_file_of_no_bytes_is_cut_short_and_one_of_nothing_is_not(tmp_path, form, packing):
    """`gzip -t` says `unexpected end of file`; it was passed over without a word."""
    path = write(tmp_path / f"{form}{packing}", b"")
    for sent in (False, True):
        found, counts, _ = read_all(corpus_of(path), sent=sent)
        assert (found, counts.faults) == ([], {"truncated files": 1})
        assert counts.examples == (Fault(str(path), 0, 1, "truncated files"),)
    write(tmp_path / f"{form}{packing}", PACK[packing](b""))
    for sent in (False, True):
        assert read_all(corpus_of(path), sent=sent)[1] == Counts()


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("sent", [False, True])
def test_a_file_that_breaks_off_gives_what_precedes_it_and_one_fault(tmp_path, packing, sent):
    lines = [f"line {number} of it: {hash((number, 'x')):x}." for number in range(60_000)]
    content = PACK[packing]("\n".join(lines).encode())
    path = write(tmp_path / f"a.txt{packing}", content[: len(content) // 2])
    found, counts, _ = read_all(corpus_of(path), sent=sent)
    assert 10_000 < len(found) < 50_000 if packing != ".bz2" else len(found) < 50_000
    assert found == lines[: len(found)]
    assert counts.faults == {"truncated files": 1}
    assert [(fault.line, fault.kind) for fault in counts.examples] == [(len(found) + 1, "truncated files")]


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
def test_damaged_and_foreign_files_are_faults(tmp_path, packing):
    content = bytearray(PACK[packing](bytes(range(256)) * 4000))
    content[len(content) // 2] ^= 0xFF
    for name, data in (("a", bytes(content)), ("b", b"this is no archive\n" * 50)):
        _, counts, _ = read_all(corpus_of(write(tmp_path / f"{name}.txt{packing}", data)))
        assert counts.faults.get("damaged files", 0) + counts.faults.get("truncated files", 0) == 1
    trailed = PACK[packing](b"one\ntwo\n") + b"and no archive"
    found, counts, _ = read_all(corpus_of(write(tmp_path / f"d.txt{packing}", trailed)))
    assert (found, counts.faults) == (["one", "two"], {"damaged files": 1})


def test_damaged_parquet_is_one_line_before_anything_is_read(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["one"] * 100)
    content = Path(path).read_bytes()
    for damaged in (b"", b"PAR1", content[:-4], content[: len(content) // 2], b"x" * 100):
        write(path, damaged)
        with pytest.raises(CorpusError, match=r"a\.parquet is not Parquet, or damaged"):
            read_all(corpus_of(path))


def test_a_file_that_changes_or_vanishes_is_refused_and_named(tmp_path):
    for name, content in (("a.txt", b"one\n"), ("a.txt.gz", PACK[".gz"](b"one\n"))):
        corpus = corpus_of(write(tmp_path / name, content))
        pieces = cut(list_files(corpus))
        write(tmp_path / name, content + content)
        with pytest.raises(CorpusError, match=rf"{name} has changed since the corpus was listed"):
            list(sentences(pieces[0], corpus, Counts()))
        (tmp_path / name).unlink()
        with pytest.raises(CorpusError, match=rf"there is no file .*{name} any more"):
            list(sentences(pieces[0], corpus, Counts()))


BOUNDED = """
import sys
from kotovec.cluster.corpus import Corpus, Counts, cut, list_files, sentences
from corpora import peak_rss
corpus = Corpus((sys.argv[1],), min_chars=1)
before = peak_rss()
counts, found = Counts(), []
for piece in cut(list_files(corpus)):
    found += sentences(piece, corpus, counts)
print(found, counts.lines, dict(counts.faults), [fault.line for fault in counts.examples], peak_rss() - before, sep="|")
"""


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_a_line_of_hundreds_of_megabytes_is_skipped_in_bounded_memory(tmp_path, packing, form):
    """The same code passes over a line of a gigabyte: none of it is kept."""
    first, last = ("one", "three") if form == "txt" else ('{"text": "one"}', '{"text": "three"}')
    path = tmp_path / f"a.{form}{packing}"
    with path.open("wb") as file:
        file.write(PACK[packing](f"{first}\n".encode()))
        if packing:
            block = PACK[packing](bytes(50 * MB))
            for _ in range(6):
                file.write(block)
        else:
            file.seek(300 * MB)  # sparse: NULs that take no space
        file.write(PACK[packing](f"\n{last}\n".encode()))
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, path], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    found, lines, faults, where, grown = done.stdout.strip().split("|")
    assert found == "['one', 'three']"
    assert (lines, faults) == ("3", "{'lines longer than 16 MB': 1}")
    if packing:
        assert where == "[2]"
    assert int(grown) < 140 * MB  # of which a line of 16 MB and its copies are 50


def test_the_limit_of_a_line_is_exact(tmp_path):
    path = write(tmp_path / "a.txt", b"a" * MOST + b"\n" + b"b" * (MOST + 1) + b"\nc")
    found, counts, _ = read_all(corpus_of(path, max_chars=2 * MOST), MB)
    assert [(sentence[0], len(sentence)) for sentence in found] == [("a", MOST), ("c", 1)]
    assert counts.faults == {"lines longer than 16 MB": 1}


def test_counts_add_up_in_any_order_and_survive_json(tmp_path):
    paths = [write(tmp_path / f"{name}.txt", b"\xff\n" * 6 + b"one. Two. T.\n") for name in "cab"]
    _, _, pieces = read_all(corpus_of(*paths), 5)
    counts = [each for _, _, each in pieces]
    total = sum(counts, Counts())
    assert total == sum(reversed(counts), Counts())
    assert total.faults == {"lines that are not UTF-8": 18}
    assert [Path(fault.path).name for fault in total.examples] == ["a.txt"] * 6 + ["b.txt"] * 2
    assert Counts.from_json(json.loads(json.dumps(total.as_json()))) == total
    assert [(Path(fault.path).name, fault.line) for fault in locate(pieces)][5:] == [
        ("a.txt", 6),
        ("b.txt", 1),
        ("b.txt", 2),
    ]


@pytest.mark.parametrize("name", ["tatoeba/japanese.txt", "brown/english.txt"])
def test_the_corpora_of_the_tests_are_read_without_a_fault(name):
    found, counts, pieces = read_all(corpus_of(DATA / name), 10_000)
    assert (counts.lines, counts.documents, counts.faults) == (2000, 2000, {})
    assert len(pieces) > 10
    assert 2000 <= len(found) < 2200
    assert counts.bytes == (DATA / name).stat().st_size


def test_the_faults_of_one_kind_do_not_hide_where_those_of_another_are():
    counts = Counts()
    for line in range(1, 61):
        counts.add(Fault("a.txt", 0, line, "lines that are not UTF-8"))
    other = Counts()
    other.add(Fault("b.jsonl", 0, 3, "lines that are not JSON objects"))
    both = (counts + other, other + counts)
    assert both[0] == both[1]
    assert [(each.path, each.line) for each in both[0].examples] == [
        *(("a.txt", n) for n in range(1, 9)),
        ("b.jsonl", 3),
    ]
    located = locate([("a.txt", 0, counts), ("b.jsonl", 0, other)])
    assert [each.kind for each in located if each.path == "b.jsonl"] == ["lines that are not JSON objects"]
