"""A failure is reported as that of the part it is in: what this machine cannot do is no damage of a file."""

import errno
import json
import os

import pytest

from kotovec.errors import DamagedError, MissingDependencyError, ModelError, StoreError, UnknownTokenError
from kotovec.space import Space
from kotovec.store import files, folder, index
from kotovec.store.expression import Term
from kotovec.store.layout import Layout
from kotovec.store.nearest import Metric
from kotovec.store.terms import Lookup
from kotovec.store.tokenizer import checksums
from kotovec.store.vectors import Vectors
from kotovec.workers.inventory import unreadable

import stores
from commands import make_store

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"王女国"]
ACCESS = "give this user access to it"


def lookup(path, **config):
    """Return a look-up with a tokenizer of the store's own, whose checksums are right."""
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertJapaneseTokenizer"} | config))
    return Lookup(stores.make_tokens(WORDS, special=WORDS[:4]), path, checksums(path))


def refuse(monkeypatch, name, number=errno.EACCES):
    """Let one file not open, as that of another user."""
    opened = files.os.open

    def refused(path, *arguments, **options):
        if os.fspath(path).endswith(name):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(files.os, "open", refused)


def test_a_tokenizer_that_runs_only_inside_transformers_is_no_damage(tmp_path):
    """The error was: does not match the vectors, build it again with --overwrite."""
    asked = lookup(tmp_path / "tokenizer", word_tokenizer_type="basic", subword_tokenizer_type="character")
    with pytest.raises(UnknownTokenError) as caught:
        asked.resolve(Term("国王", 1.0, 0))
    assert str(caught.value) == (
        "`国王` is not a token of this store; BertJapaneseTokenizer runs only inside transformers, "
        "so only whole tokens can be looked up here"
    )
    assert caught.value.hint == "write a word as the sum of its tokens"
    assert asked.resolve(Term("王", 1.0, 0)).rows == (4,)


def test_a_missing_dictionary_is_no_damage(tmp_path, monkeypatch):
    asked = lookup(
        tmp_path / "tokenizer", word_tokenizer_type="mecab", mecab_kwargs={"mecab_dic": "unidic"}, unk_token="[UNK]"
    )
    with pytest.raises(MissingDependencyError, match="MeCab dictionary unidic is missing\nhint: install it"):
        asked.resolve(Term("国王", 1.0, 0))


def test_mecab_that_does_not_start_says_why_in_one_line(tmp_path):
    asked = lookup(tmp_path / "tokenizer", word_tokenizer_type="mecab", mecab_kwargs={"mecab_dic": None})
    with pytest.raises(MissingDependencyError, match=r"^MeCab does not start \(.*mecabrc\)$"):
        asked.resolve(Term("国王", 1.0, 0))


def test_a_tokenizer_of_another_user_is_no_damage(tmp_path, monkeypatch):
    asked = lookup(tmp_path / "tokenizer", word_tokenizer_type="basic")
    refuse(monkeypatch, "vocab.txt")
    with pytest.raises(UnknownTokenError, match=rf"cannot be read \(Permission denied\)\nhint: {ACCESS}$"):
        asked.resolve(Term("国王", 1.0, 0))
    monkeypatch.undo()
    (tmp_path / "tokenizer" / "vocab.txt").unlink()
    with pytest.raises(DamagedError, match="does not match the vectors"):
        asked.resolve(Term("国王", 1.0, 0))


def test_a_plan_of_another_user_is_no_damage_and_nothing_is_to_be_deleted(tmp_path, monkeypatch):
    layout = Layout(tmp_path / "x.kotovec")
    layout.plan.parent.mkdir(parents=True)
    layout.plan.write_text("{")
    with pytest.raises(StoreError, match=rf"is damaged\nhint: delete {layout.shards} to start again$"):
        folder.read_plan(layout)
    refuse(monkeypatch, layout.plan.name)
    with pytest.raises(StoreError, match=rf"cannot be read \(Permission denied\)\nhint: {ACCESS}$"):
        folder.read_plan(layout)


def test_an_index_of_another_user_is_no_damage(tmp_path, monkeypatch):
    store = make_store(tmp_path / "s.kotovec")
    vectors = Vectors(store)
    assert index.load(vectors, store / "indexes", Space("static"), Metric.L2) is not None
    refuse(monkeypatch, ".faiss")
    with pytest.raises(StoreError, match=rf"static\.l2\.faiss cannot be read \(Permission denied\)\nhint: {ACCESS}$"):
        index.load(vectors, store / "indexes", Space("static"), Metric.L2)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (OSError(errno.EACCES, "x"), "cannot be read (Permission denied)", ACCESS),
        (OSError(errno.EIO, "x"), "cannot be read (Input/output error)", "check this machine's disk and memory"),
        (
            OSError("Cannot allocate memory (os error 12)"),
            "cannot be read (Cannot allocate memory)",
            "check this machine's disk and memory",
        ),
        (ValueError("header too small"), "is damaged (header too small)", "download the model again"),
    ],
)
def test_weights_are_damaged_or_this_machine_cannot_read_them(tmp_path, error, message, hint):
    found = unreadable(tmp_path / "model.safetensors", error)
    assert isinstance(found, ModelError)
    assert (str(found), found.hint) == (f"{tmp_path}/model.safetensors {message}", hint)
