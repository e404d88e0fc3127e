"""Odd surroundings: locales that are not UTF-8, no home, options of MeCab, and names that mean something."""

import io
import json
import os
from types import SimpleNamespace

import pytest

from kotovec import access
from kotovec.cli.picture import compose
from kotovec.errors import ModelError, StoreError
from kotovec.mecab import is_harmless
from kotovec.store import Store, projection
from kotovec.store.cartography import MapRequest, make_map
from kotovec.store.tokenizer import mecab_options
from kotovec.workers.model import Model

from commands import make_store, start

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("odd") / "x.kotovec")


@pytest.mark.parametrize(
    ("variables", "encoding", "shown"),
    [
        (ASCII, "ascii", "\\u738b"),
        ({"PYTHONIOENCODING": "shift_jis"}, "shift_jis", "王"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "\\u738b"),
        ({}, "utf-8", "王"),
    ],
)
def test_no_locale_makes_a_token_an_error(store, variables, encoding, shown):
    for options in ([], ["--json"], ["--tsv"]):
        done = start("query", "王", "-k", 24, *options, "--store", store, environment=variables, text=False)
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
        if options == ["--json"]:
            assert "王" in [hit["token"] for hit in json.loads(text)["results"]]
        else:
            assert shown in text or "王" in text
    lines = "王\nking\n".encode()
    done = start("query", "--file", "-", "--store", store, environment=variables, text=False, input=lines)
    assert done.returncode == 0, done.stderr
    unknown = start("query", "超電磁砲", "--store", store, environment=variables, text=False)
    assert unknown.returncode == 2
    assert unknown.stderr.startswith(b"error: ")
    assert b"Traceback" not in unknown.stderr


def test_a_title_with_dollars_is_no_formula(store, tmp_path):
    opened = Store.open(store)
    map_ = make_map(opened, MapRequest(method="pca"))
    picture = io.BytesIO()
    compose(map_, opened.tokens, [], 3, "a $\\frac{ b$, static.pca").savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("option", "harmless"),
    [
        (None, True),
        ("", True),
        ("-l 1", True),
        ("-c 700 -C", True),
        ("-p", False),
        ("-o /tmp/x", False),
        ("-d /tmp/dictionary", False),
        ("-l 1 -p", False),
        ("--partial", False),
        ("-r /dev/zero", False),
        (["-p"], False),
    ],
)
def test_only_options_that_weigh_words_are_given_to_mecab(option, harmless, tiny_models, tmp_path):
    assert is_harmless(option) == harmless
    if harmless:
        return
    with pytest.raises(StoreError, match="gives MeCab the options"):
        mecab_options("ipadic", option)
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_models["japanese-v1"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["mecab_kwargs"] = {"mecab_dic": "ipadic", "mecab_option": option}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="mecab_option"):
        Model.find(str(folder))


@pytest.mark.parametrize("writable", [False, True])
def test_numba_gets_a_folder_where_it_has_none(writable, monkeypatch, tmp_path):
    """In a container without a home: umap could not be imported, "no locator available".

    By its mode, root may write in /proc, where no file can be made.
    """
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(projection, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    monkeypatch.setattr(access, "is_writable", lambda folder: writable and folder == tmp_path)
    with projection._compiling():
        given = os.environ.get("NUMBA_CACHE_DIR")
        assert writable == (given is None)
        assert writable or os.path.isdir(given)
    assert "NUMBA_CACHE_DIR" not in os.environ
    assert writable or not os.path.exists(given)


@pytest.mark.parametrize("cache", ["", "cache"])
def test_numba_never_uses_the_working_directory(cache, monkeypatch, tmp_path):
    """It takes an empty XDG_CACHE_HOME at its word: `numba/` appeared beside the store."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "package"
    monkeypatch.setattr(projection, "find_spec", lambda _: SimpleNamespace(origin=str(package / "__init__.py")))
    monkeypatch.setattr(access, "is_writable", lambda folder: folder != package)
    with projection._compiling():
        assert os.path.isabs(os.environ["NUMBA_CACHE_DIR"])


@pytest.mark.parametrize("variables", [ASCII, {"PYTHONIOENCODING": "ascii"}])
@pytest.mark.parametrize("command", [["query", "女王 + king", "-k", 5], ["norms", "女王", "king"]])
def test_columns_are_those_of_the_escapes_that_the_stream_shows(store, variables, command):
    """Widths were those of 王, two columns, and not of its escape, six."""
    done = start(*command, "--store", store, environment=variables)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if " | " in line]
    assert any("\\u5973\\u738b" in line for line in lines)
    bars = {tuple(at for at, char in enumerate(line) if char == "|") for line in lines}
    assert len(bars) == 1


def test_a_caret_points_past_the_escapes_before_it(store):
    done = start("query", "王 + + 女 )", "--store", store, environment={"PYTHONIOENCODING": "ascii"})
    assert done.stderr.splitlines() == [
        "error: a token is missing here",
        "  \\u738b + + \\u5973 )",
        "           ^",
        """hint: put an operator that is a token in quotes: '"+"'""",
    ]
    plain = start("query", "王 + + 女 )", "--store", store)
    assert plain.stderr.splitlines()[1:3] == ["  王 + + 女 )", "       ^"]


def test_a_sign_of_its_own_is_written_in_ascii(store):
    out = start("info", "--store", store, environment={"PYTHONIOENCODING": "ascii"}).stdout
    assert " x 8 float32" in out
    assert "\\u" not in out


def test_a_shell_reads_utf_8_in_the_locale_c(store):
    done = start("shell", "--store", store, "--json", "-k", 1, environment=ASCII, input="王\n".encode(), text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["results"][0]["token"] == "王"
