"""Section 4, models: configs, weights and tokenizers of a stranger's model that lie, or that break their reader."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from attacked import build, run, together
from tiny import VOCABULARY, change, tokenizer, write_model, write_weights

# A word splitter with pieces of length 0, on which tokenizers panics at the first text.
PANICS = {"type": "FixedLength", "length": 0}
DEEP = '{"a":' * 10**5 + "1" + "}" * 10**5


def other_weights(folder: Path) -> None:
    write_weights(folder / "other.safetensors", len(VOCABULARY), seed=1)
    change(folder / "config.json", transformers_weights="other.safetensors")


def index_of_weights(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder.parent / f"weights-of-{folder.name}.safetensors")
    header = (folder.parent / f"weights-of-{folder.name}.safetensors").read_bytes()
    size = int.from_bytes(header[:8], "little")
    names = [tensor for tensor in json.loads(header[8 : 8 + size]) if tensor != "__metadata__"]
    index = {"metadata": {"total_size": len(header) - 8 - size}, "weight_map": dict.fromkeys(names, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def above(folder: Path) -> None:
    index_of_weights(folder, f"../weights-of-{folder.name}.safetensors")


def absolute(folder: Path) -> None:
    index_of_weights(folder, str(folder.parent / f"weights-of-{folder.name}.safetensors"))


def layers(folder: Path) -> None:
    change(folder / "config.json", num_hidden_layers=10**9)


def no_heads(folder: Path) -> None:
    change(folder / "config.json", num_attention_heads=0)


def fewer_than_no_layers(folder: Path) -> None:
    change(folder / "config.json", num_hidden_layers=-1)


def deep_config(folder: Path) -> None:
    (folder / "config.json").write_text(DEEP)


def deep_tokenizer_config(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(DEEP)


def panic(folder: Path) -> None:
    change(folder / "tokenizer.json", pre_tokenizer=PANICS)
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


SPOILS = (other_weights, above, absolute, layers, no_heads, fewer_than_no_layers)
SPOILS += (deep_config, deep_tokenizer_config, panic)


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """What a build of each model ended with."""
    root = tmp_path_factory.mktemp("models")

    def attack(spoil):
        folder = write_model(root / spoil.__name__)
        spoil(folder)
        options = ["--layers", "all"] if spoil is layers else []
        return build(folder, root / f"{spoil.__name__}.kotovec", *options, seconds=30)

    return together({spoil: lambda spoil=spoil: attack(spoil) for spoil in SPOILS})


def test_vectors_come_from_the_file_that_is_hashed(builds):
    """`transformers_weights` in config.json: vectors come from another file than the one hashed. Only files of the
    folder, and those that are read are those that are hashed.
    """
    done = builds[other_weights]
    assert (done.code, done.one_line) == (2, True), done.err
    assert "other.safetensors" in done.err


@pytest.mark.parametrize("spoil", [above, absolute])
def test_an_index_of_weights_names_files_of_the_folder(builds, spoil):
    """A weights index with `../` or absolute names is accepted. Only files of the folder."""
    done = builds[spoil]
    assert (done.code, done.one_line) == (2, True), done.err
    assert "model.safetensors.index.json names" in done.err


@pytest.mark.parametrize("spoil", [layers, no_heads, fewer_than_no_layers])
def test_a_number_that_no_model_has_is_one_line(builds, spoil):
    """10^9 layers with `--layers all`, heads 0, layers −1: one line."""
    done = builds[spoil]
    assert (done.code, done.one_line) == (2, True), done.err
    assert "config.json claims num_" in done.err


@pytest.mark.parametrize("spoil", [deep_config, deep_tokenizer_config])
def test_deep_json_is_one_line(builds, spoil):
    """Deep JSON: one line."""
    done = builds[spoil]
    assert (done.code, done.one_line) == (2, True), done.err


def test_a_tokenizer_that_panics_is_one_line_of_a_build(builds):
    """A tokenizer that panics in Rust (66 lines): one line."""
    done = builds[panic]
    assert done.code in (0, 2)
    assert "panicked" not in done.out + done.err
    assert done.one_line or done.code == 0, done.err


@pytest.fixture(scope="module")
def panicking(built, tmp_path_factory) -> Path:
    """A store whose tokenizer panics, with a record of its tokenizer that vouches for it."""
    store = tmp_path_factory.mktemp("panics") / "x.kotovec"
    shutil.copytree(built, store)
    vouch(store, json.dumps(tokenizer(VOCABULARY) | {"pre_tokenizer": PANICS}))
    return store


def vouch(store: Path, content: str) -> None:
    """Replace a store's tokenizer.json, and its checksum in the store."""
    (store / "tokenizer" / "tokenizer.json").write_text(content)
    table = store / "tokens.h5"
    with h5py.File(table if table.exists() else store / "vectors.h5", "r+") as file:
        files = json.loads(file.attrs["tokenizer_files"])
        files["tokenizer.json"] = hashlib.sha256(content.encode()).hexdigest()
        file.attrs["tokenizer_files"] = np.bytes_(json.dumps(files).encode())


def test_a_tokenizer_that_panics_is_one_line_of_a_query(panicking):
    """A tokenizer that panics in Rust (66 lines): one line."""
    done = run("query", "kings", "--store", panicking)
    assert (done.code, done.one_line) == (2, True), done.err


@pytest.mark.parametrize("words", [["query", "--file", "-"], ["shell", "--json"]], ids=" ".join)
def test_a_tokenizer_that_panics_ends_no_list_of_questions(panicking, words):
    """A tokenizer that panics in Rust (`--file` and `shell` die): one line, and the next question is answered."""
    done = run(*words, "--store", panicking, stdin="kings\nking\n")
    answer = json.loads(done.out.splitlines()[-1])
    assert answer["results"][0]["token"] == "king"
    assert "panicked" not in done.err
    assert len(re.findall("^error: ", done.err, re.MULTILINE)) == 1


def test_a_token_of_300_kb_makes_no_large_store(tmp_path):
    """A token of 300 KB makes the store 239 MB (the house bounds texts)."""
    folder = write_model(tmp_path / "model", ["x" * 300_000])
    done = build(folder, tmp_path / "x.kotovec")
    assert done.code == 0, done.err
    assert sum(path.stat().st_size for path in (tmp_path / "x.kotovec").rglob("*") if path.is_file()) < 2_000_000
