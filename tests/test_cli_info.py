"""`kotovec info`: what is in a store, and where it came from."""

import json
import os

import pytest

from commands import TEXTS, WORDS, call, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = make_store(tmp_path_factory.mktemp("info") / "words.kotovec")
    record = path / "indexes" / "isolated-2.l2.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"dataset": "of another store"}))
    return path


def pairs(out):
    """The two columns of the table."""
    return [tuple(cell.strip() for cell in line.strip().split("  ", 1)) for line in out.splitlines()]


def test_the_table_names_model_tokens_vectors_template_dictionary_and_indexes(capsys, store):
    answer = call(capsys, "info", "--store", store)
    shown = pairs(answer.out)
    table = dict(shown)
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    assert answer.code == 0
    assert table["store"] == f"{store}  ({size / 1e6:,.1f} MB)"
    assert table["model"] == "none/of-these abc"
    assert table["tokens"] == f"{len(TEXTS)}: {len(WORDS) + 4} word, 2 subword, 4 special, 1 unused, 1 empty"
    assert table["static"] == f"{len(TEXTS)} × 8 float32"
    assert table["isolated"] == f"{len(TEXTS)} × 8 float32, layers 0, 2"
    assert table["template"] == "[CLS] token [SEP]"
    assert table["left out"] == "2 tokens without a row"  # and no line of zeros
    assert "ipadic" in table["MeCab"]
    assert "as when it was made" in table["MeCab"]
    assert table["command"] == "kotovec build none/of-these"
    indexes = [value for name, value in shown if name == "index"]
    assert [value.split(";")[0] for value in indexes] == ["isolated, layer 2", "static"]
    assert [value.split("; ")[1] for value in indexes] == ["l2 Flat", "l2 Flat"]
    assert ["not used" in value for value in indexes] == [True, False]


def test_notices_of_the_build_are_said_on_stderr_unless_quiet(capsys, store):
    assert call(capsys, "info", "--store", store).err == "note: the notice of a build\n"
    assert call(capsys, "info", "--store", store, "--quiet").err == ""


def test_json_holds_the_same_with_stable_keys(capsys, store):
    answer = call(capsys, "info", "--store", store, "--json")
    data = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    names = [
        "path",
        "tokens",
        "kinds",
        "marking",
        "spaces",
        "tables",
        "indexes",
        "maps",
        "neighbours",
        "bytes",
        "provenance",
    ]
    assert list(data) == names
    assert (data["path"], data["tokens"], data["marking"]) == (str(store), len(TEXTS), "wordpiece")
    assert data["kinds"] == {
        "word": len(WORDS) + 4,
        "subword": 2,
        "special": 4,
        "unused": 1,
        "byte": 0,
        "empty": 1,
    }
    assert data["spaces"] == {
        name: {"shape": [len(TEXTS), 8], "dtype": "float32"} for name in ("static", "isolated@0", "isolated@2")
    }
    assert [(index["name"], index["factory"], index["usable"]) for index in data["indexes"]] == [
        ("isolated-2.l2", "Flat", False),
        ("static.l2", "Flat", True),
    ]
    origin = data["provenance"]
    assert (origin["model"], origin["revision"], origin["mecab_dic"]) == ("none/of-these", "abc", "ipadic")
    assert (origin["template_prefix"], origin["template_suffix"]) == ([3], [4])
    assert origin["encoding-type"] == "kotovec-tokens"


def test_the_maps_are_listed_with_their_space_date_and_sample(capsys, tmp_path):
    path = make_store(tmp_path / "words.kotovec")
    assert json.loads(call(capsys, "info", "--store", path, "--json").out)["maps"] == []
    map_ = ["map", "--method", "pca", "--quiet", "--store", path]
    for options in (["--space", "isolated"], ["--sample", 10], []):
        assert call(capsys, *map_, *options).code == 0
    files = {name: path / "maps" / f"{name}.h5" for name in ("isolated-2.pca", "static.pca", "static.pca.sample")}
    for moment, file in enumerate(files.values()):
        os.utime(file, (moment, moment))
    data = json.loads(call(capsys, "info", "--store", path, "--json").out)["maps"]
    assert [(each["name"], each["space"], each["tokens"], each["written"]) for each in data] == [
        ("isolated-2.pca", "isolated@2", len(TEXTS), "1970-01-01T00:00:00+00:00"),
        ("static.pca", "static", len(TEXTS), "1970-01-01T00:00:01+00:00"),
        ("static.pca.sample", "static", 10, "1970-01-01T00:00:02+00:00"),
    ]
    assert [each["bytes"] for each in data] == [file.stat().st_size for file in files.values()]
    shown = [value for name, value in pairs(call(capsys, "info", "--store", path).out) if name == "map"]
    assert [value.partition("; 0.0 MB; 1970-01-01T00:00:0")[0] for value in shown] == [
        f"isolated, layer 2; pca of {len(TEXTS)} tokens, seed 0",
        f"static; pca of {len(TEXTS)} tokens, seed 0",
        "static; pca of a sample of 10 tokens, seed 0",
    ]
    assert call(capsys, "verify", "--store", path).code == 0


def test_no_line_ends_in_blanks_where_there_is_no_terminal(capsys, store):
    for command in (["info"], ["query", "king", "--space", "both"], ["norms", "king"]):
        lines = call(capsys, *command, "--store", store).out.splitlines()
        assert lines
        assert [line for line in lines if line != line.rstrip()] == []
