"""Stores in odd places: moved, read-only, at paths of any bytes, and read while builds swap them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from kotovec.store import Store
from kotovec.store import folder as folders
from kotovec.store.checksum import of_file
from kotovec.store.layout import Layout

import stores
from commands import MAIN, PROVENANCE, call, environment, make_store, start
from rays import Process, left_behind

READING = (["query", "king - man + woman"], ["norms", "king"], ["info"], ["verify"], ["query", "kings", "--verify"])


@pytest.mark.parametrize("how", ["moved", "copied", "linked"])
def test_a_store_that_is_moved_or_copied_opens_and_its_indexes_still_belong(capsys, tmp_path, how):
    store, there = make_store(tmp_path / "words.kotovec"), tmp_path / "else where" / "names.kotovec"
    expected = [call(capsys, *command, "--store", store).out for command in READING[:2]]
    there.parent.mkdir()
    {"moved": shutil.move, "copied": shutil.copytree, "linked": lambda a, b: b.symlink_to(a)}[how](store, there)
    if how == "copied":
        shutil.rmtree(store)
    assert [call(capsys, *command, "--store", there).out for command in READING[:2]] == expected
    assert call(capsys, "verify", "--store", there).code == 0
    known = json.loads(call(capsys, "info", "--store", there, "--json").out)
    assert [entry["usable"] for entry in known["indexes"]] == [True, True]
    assert call(capsys, "index", "--store", there, "--metric", "cosine").code == 0


@pytest.fixture(params=["mount", "modes"])
def read_only(request, tmp_path):
    """A store that nobody can write to, and how commands are started there."""
    if os.geteuid() != 0:
        pytest.skip("takes root: to mount, and to give up what root may do")
    root = tmp_path / "place"
    root.mkdir()
    if request.param == "mount":
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(root)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        make_store(root / "words.kotovec")
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        yield root / "words.kotovec", []
        subprocess.run(["umount", "--lazy", str(root)], check=True)
        return
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv: root cannot be bound by mode bits")
    make_store(root / "words.kotovec")
    for path in (*root.rglob("*"), root):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root / "words.kotovec", ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)


def test_a_read_only_store_is_read_by_every_command_and_refuses_to_be_written_in_one_line(read_only, tiny_models):
    store, bound = read_only

    def give(*command):
        arguments = [*bound, sys.executable, "-c", MAIN, *map(str, command), "--store", str(store)]
        return subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)

    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.parent.rglob("*")}
    for command in READING:
        done = give(*command)
        assert done.returncode == 0, done.stderr
        assert "error" not in done.stderr
    for command in (["index"], ["build", tiny_models["bert"]], ["build", tiny_models["bert"], "--overwrite"]):
        done = give(*command)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", done.stderr)
        assert "Errno" not in done.stderr
        assert str(store.parent) in done.stderr
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.parent.rglob("*")} == before


def test_every_command_works_at_a_path_with_spaces_and_japanese(tmp_path, tiny_models):
    """In processes of their own, and at a relative path."""
    name, folder = "日本語の 語彙.kotovec", tmp_path / "空 白"
    folder.mkdir()
    with Process("build", tiny_models["bert"], "--store", name, "--workers", 1, cwd=folder) as process:
        code, _, err = process.finish()
    assert code == 0, err
    store = folder / name
    assert left_behind(store) == []
    token = Store.open(store).tokens.texts[20]
    for command in (["index", "--metric", "ip"], ["verify"]):
        done = start(*command, "--store", name, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
    assert (store / "indexes" / "static.ip.faiss").is_file()
    done = start("query", token, "--store", name, "--json", cwd=folder)
    assert json.loads(done.stdout)["results"][0]["text"] == token


@pytest.mark.parametrize("name", ["-dash.kotovec", "caf\udce9.kotovec", "a'b\"c$(d).kotovec", "--store=.kotovec"])
def test_a_store_is_read_at_a_path_of_any_bytes(capsys, monkeypatch, tmp_path, name):
    try:
        make_store(tmp_path / "words").rename(tmp_path / name)
    except OSError:
        pytest.skip("the file system takes no such name")
    monkeypatch.chdir(tmp_path)
    for command in (["query", "kings", "--verify"], ["norms", "king"], ["index", "--metric", "ip"], ["verify", "-q"]):
        answer = call(capsys, *command, f"--store={name}")
        assert answer.code == 0, answer.err
    assert (tmp_path / name / "indexes" / "static.ip.faiss").is_file()
    for cut in ("spaces/static.h5", "tokens.h5"):
        with (tmp_path / name / cut).open("r+b") as file:
            file.truncate(999)
        answer = call(capsys, "query", "king", f"--store={name}")
        assert (answer.code, answer.out) == (1, "")
        assert re.fullmatch(rf"error: .*{cut} is cut short.*\nhint: build it again with --overwrite\n", answer.err)


TEXTS = ["[UNK]", "un", "##known", *(f"t{number}" for number in range(160))]
ASKED = ("t7", "t8 - t9", "unknown")  # the last is not in the vocabulary: the tokenizer's files are read
# Gives the query command, as often as it can, until it is told to stop; says what came of each.
READER = """
import contextlib, io, json, sys
from pathlib import Path
from kotovec.cli.app import run
store, stop, asked = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
seen = {text: [] for text in asked}
while not stop.exists() or not seen[asked[0]]:
    for text in asked:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = run(["query", text, "-k", "4", "--json", "--store", store])
        hits = json.loads(out.getvalue())["results"] if code == 0 else err.getvalue()
        seen[text].append([code, hits])
print(json.dumps(seen))
"""


@pytest.fixture
def generations(tmp_path):
    """Functions that write a store with other tokens, vectors and another tokenizer each."""
    rng = np.random.default_rng(4)

    def writer(prefix):
        from tokenizers import Tokenizer, models

        texts = [*TEXTS[:3], *(f"{prefix}{text}" for text in TEXTS[100:]), *TEXTS[3:100]]
        vectors = rng.standard_normal((len(texts), 6)).astype(np.float32)
        tokenizer = Tokenizer(models.WordPiece({text: row for row, text in enumerate(texts)}, unk_token="[UNK]"))
        file = tmp_path / f"{prefix}.json"
        tokenizer.save(str(file))
        provenance = {**PROVENANCE, "tokenizer_files": json.dumps({"tokenizer.json": of_file(file)})}

        def write(folder):
            tokens = stores.make_tokens(texts)
            return stores.write_store(
                folder, tokens, vectors, metrics=["l2"], tokenizer=tokenizer, provenance=provenance
            )

        return write

    return [writer("old"), writer("new")]


def test_readers_meet_neither_errors_nor_mixed_stores_while_a_builder_swaps_them(capsys, tmp_path, generations):
    """Thirty swaps under two processes that ask without pause: every answer is of the one store or of the other."""
    layout = Layout(generations[0](tmp_path / "x.kotovec"))
    proper = []
    for number, write in enumerate(generations):
        store = write(tmp_path / f"{number}.kotovec")
        answers = [call(capsys, "query", text, "-k", 4, "--json", "--store", store).out for text in ASKED]
        proper.append([[0, json.loads(out)["results"]] for out in answers])
    command = [sys.executable, "-c", READER, str(layout.folder), str(tmp_path / "stop"), *ASKED]
    readers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        for _ in range(2)
    ]
    time.sleep(2)  # they import numpy, h5py and faiss
    for number in range(30):
        new = Layout(layout.rebuild)
        generations[(number + 1) % 2](new.folder)
        folders.swap(layout, new)
    (tmp_path / "stop").touch()
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err
        for place, answers in enumerate(json.loads(out).values()):
            assert [answer for answer in answers if answer not in (proper[0][place], proper[1][place])] == []
            assert proper[0][place] in answers
            assert proper[1][place] in answers
