"""Lists of words: files of every kind, iterables, what is counted, and one line for what cannot be read."""

import hashlib
import json
import os
import random

import pytest

from kotovec.cluster import wordlist
from kotovec.cluster.wordlist import gather, load, read
from kotovec.errors import InputError
from kotovec.store.tokens import LONGEST


def write(folder, content, name="words.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "column", "words", "duplicates", "blanks"),
    [
        ("w.txt", "b\na\nc\n", None, ["b", "a", "c"], 0, 0),
        ("w.txt", "b\na\nc", None, ["b", "a", "c"], 0, 0),
        ("w.txt", b"\xef\xbb\xbfb\r\na\r\n", None, ["b", "a"], 0, 0),
        ("w.txt", b"b\ra\rc", None, ["b", "a", "c"], 0, 0),
        ("w.txt", b"b\ra\r\r\nc\n", None, ["b", "a", "c"], 0, 1),
        ("w.txt", b"b\r" * (1 << 19) + b"\na\rc\r", None, ["b", "a", "c"], (1 << 19) - 1, 0),
        ("w.txt", "b\na\n\n  \nb\n b \n", None, ["b", "a"], 2, 2),
        ("w.txt", "b\t12\tx\na\n\t7\n", None, ["b", "a"], 0, 1),
        ("w.txt", "New York\n東京 都\u3000\nJ\u2028K\n", None, ["New York", "東京 都", "J\u2028K"], 0, 0),
        ("w.tsv", "id\tword\n1\tb\n2\ta\n3\t\n\n", "word", ["b", "a"], 0, 2),
        ("w.txt", "word\nb\nword\n", "word", ["b", "word"], 0, 0),
        ("w.jsonl", '{"word": "b", "n": 1}\n\n{"word": " a"}\n{"word": " "}\n', "word", ["b", " a"], 0, 2),
        ("w.NDJSON", '{"w": "a\\tb\\n"}\n{"w": "\\u738b"}\n', "w", ["a\tb\n", "王"], 0, 0),
        ("w.txt", "é\ne\u0301\nＡ\nA\n", None, ["é", "e\u0301", "Ａ", "A"], 0, 0),
    ],
)
def test_files_of_words_are_read(name, content, column, words, duplicates, blanks, tmp_path):
    path = write(tmp_path, content, name)
    found = read(path, column)
    assert list(found.words) == words
    assert (found.duplicates, found.blanks, found.name, found.column) == (duplicates, blanks, name, column or "")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == wordlist.hash_file(path)


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("w.txt", b"a\nk\xf6nig\n", None, "line 2 is not UTF-8"),
        ("w.txt", "a\n".encode("utf-16"), None, "line 1 "),
        ("w.txt", b"a\n\x00\n", None, "line 2 holds a NUL character"),
        ("w.txt", "", None, "holds no word"),
        ("w.txt", "\n \n\t\n", None, "holds no word"),
        ("w.tsv", "word\n", "word", "holds no word"),
        ("w.txt", "a\n" + "b" * (LONGEST + 1), None, "line 2 holds a word of 4,097 bytes, over 4,096"),
        ("w.txt", b"a\n" + b"b" * (2 << 20), None, "line 2 has more than 1,048,576 bytes"),
        ("w.tsv", "id\tword\n1\tb\n", "lemma", "has no column `lemma` in its first line"),
        ("w.tsv", "id\tword\n1\tb\n2\n", "word", "line 3 has 1 column, and the word is in the next"),
        ("w.tsv", "", "word", "has no column `word`"),
        ("w.jsonl", '{"word": "a"}\n', None, "is JSON lines"),
        ("w.jsonl", '{"word": "a"}\nb\n', "word", "line 2 is not JSON"),
        ("w.jsonl", "[" * 100_000, "word", "line 1 is not JSON"),
        ("w.jsonl", '{"word": "a"}\n{"lemma": "b"}\n', "word", "line 2 has no text under the key `word`"),
        ("w.jsonl", '{"word": 7}\n', "word", "line 1 has no text under the key `word`"),
        ("w.jsonl", '["word"]\n', "word", "line 1 has no text under the key `word`"),
        ("w.jsonl", '{"word": "a\\u0000"}\n', "word", "line 1 holds a NUL character"),
        ("w.jsonl", '{"word": "\\ud800"}\n', "word", "line 1 holds half a surrogate pair, which is no character"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(name, content, column, message, tmp_path):
    with pytest.raises(InputError) as caught:
        read(write(tmp_path, content, name), column)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_words_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (tmp_path / "none", "there is no file"),
        (tmp_path / "a\0b", "null byte"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            load(path)
        assert "--words" in caught.value.hint


def test_iterables_are_read_too(tmp_path):
    found = gather(word for word in ["b", "a", "b", "", " ", " a"])
    assert list(found.words) == ["b", "a", " a"]
    assert (found.duplicates, found.blanks, found.name) == (1, 2, "")
    assert load(found) is found
    assert list(load({"x": 1, "y": 2}).words) == ["x", "y"]
    assert list(load(str(write(tmp_path, "a\n"))).words) == ["a"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "words holds no word"),
        (["a", 7], "item 1 is a int"),
        (["a", None], "item 1 is a NoneType"),
        (["a\0"], "item 0 holds a NUL character"),
        (["\ud800"], "item 0 holds half a surrogate pair"),
        (["a", "b" * 5000], "item 1 holds a word of 5,000 bytes"),
    ],
)
def test_iterables_that_hold_no_words_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        gather(words)


def test_more_words_than_a_table_holds_are_refused(monkeypatch):
    monkeypatch.setattr(wordlist, "MOST_WORDS", 3)
    assert len(gather("abc").words) == 3
    with pytest.raises(InputError, match="more than 3 words"):
        gather("abca")
    monkeypatch.setattr(wordlist, "MOST_BYTES", 1 << 20)
    with pytest.raises(InputError, match="more than 3 words or 1 MB"):
        gather(f"{number:04000}" for number in range(3) for _ in range(100))


def test_each_of_thousands_of_words_is_kept_once_where_it_was_first(tmp_path):
    chosen = random.Random(5)
    words = [f"w{chosen.randrange(3000)}" for _ in range(20_000)]
    found = read(write(tmp_path, "\n".join(words)))
    assert list(found.words) == list(dict.fromkeys(words))
    assert found.duplicates == 20_000 - len(set(words))
    lines = "".join(json.dumps({"w": word}) + "\n" for word in words)
    assert list(read(write(tmp_path, lines, "w.jsonl"), "w").words) == list(dict.fromkeys(words))
