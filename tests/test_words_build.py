"""Stores of words: the same bytes however they are built, resumed or refused, and all commands on them."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import kotovec
from kotovec.cli.app import run
from kotovec.cluster import finished
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import DamagedError, InputError, NotStoredError, SettingsDifferError, UnknownTokenError
from kotovec.store import Store
from kotovec.store.vectors import Vectors
from kotovec.workers import ranges
from kotovec.workers.encoder import Encoder

from interrupted import begin
from models import ENGLISH, make_gpt2
from rays import SLOW_COMMAND, Process, datasets, left_behind, run_build, shard_files, wait_for

SYLLABLES = ["ka", "ro", "mi", "ten", "sho", "ing", "er", "bri", "qua", "zu", "no", "lo", "ea"]
WORDS = [*ENGLISH, *map("".join, itertools.product(SYLLABLES, SYLLABLES, SYLLABLES))][:1800]
STATIC_TENSOR = {"llama": "model.embed_tokens.weight", "bert": "embeddings.word_embeddings.weight"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("list") / "words.txt"
    path.write_text("\n".join(["king", "", *WORDS, "kingЖ"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(file, tiny_models, tmp_path_factory):
    """A store of the words, built in this process."""
    store = tmp_path_factory.mktemp("built") / "words.kotovec"
    with kotovec.build(str(tiny_models["bert"]), store, words=file, workers=0, layers="all", device="cpu"):
        return store


def plan_of(model, words, **options):
    return make_plan(Request(**({"model": str(model), "words": words, "device": "cpu", "layers": "all"} | options)))


def call(*arguments):
    """Run a command in this process; return its exit code."""
    return run([*map(str, arguments)])


def test_the_table_has_the_words_in_the_order_of_the_file_and_their_pieces(built, file, tiny_models):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["bert"])
    with Store.open(built) as store:
        assert list(store.tokens.texts) == list(store.tokens.surfaces) == list(dict.fromkeys(["king", *WORDS]))
        assert store.tokens.ids.tolist() == list(range(len(store)))
        assert store.tokens.count()["word"] == len(store)
        assert repr(store).splitlines()[2].strip() == f"words: {len(store):,}"
    with h5py.File(built / "tokens.h5") as table:
        offsets, pieces = table["piece_offsets"][:], table["pieces"][:]
        about = json.loads(table.attrs["words"])
    for row, word in list(enumerate(dict.fromkeys(["king", *WORDS])))[::97]:
        alone = tokenizer(word, add_special_tokens=False)["input_ids"]
        assert pieces[offsets[row] : offsets[row + 1]].tolist() == alone
    assert about == {
        "file": "words.txt", "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "column": "", "pooling": "mean",
        "duplicates": 1, "blanks": 1, "unspelled": 1, "too_long": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "workers"), [("bert", 1), ("gpt2", 2), ("bert", 3)])
def test_any_number_of_workers_gives_the_same_bytes(kind, workers, built, file, employ, tiny_models, tmp_path):
    employ(Encoder)
    plan, store = plan_of(tiny_models[kind], file, shard_tokens=200), tmp_path / "x.kotovec"
    summary, _ = run_build(plan, store, workers)
    assert summary.encoded == len(plan.tokens)
    if kind == "bert":  # whose bits do not depend on the shard either
        assert datasets(store) == datasets(built)
    else:
        run_build(plan, tmp_path / "inline.kotovec", 0)
        assert datasets(store) == datasets(tmp_path / "inline.kotovec")
    assert left_behind(store) == []


def test_a_list_of_one_word_is_a_store(tiny_models, tmp_path):
    for kind in ("bert", "gpt2"):
        with kotovec.build(str(tiny_models[kind]), tmp_path / f"{kind}.kotovec", words=["kings"], workers=0) as store:
            assert len(store) == 1
            assert store.search("kings", space="isolated", k=1).results[0].token == "kings"
            assert store.verify() == []


def test_a_killed_build_resumes_with_the_same_bytes(built, file, tiny_models, tmp_path):
    store = tmp_path / "x.kotovec"
    arguments = ["build", tiny_models["bert"], "--words", file, "--store", store, "--layers", "all", "--device", "cpu"]
    arguments += ["--shard-tokens", "200"]
    with contextlib.ExitStack() as killed:
        slow = SLOW_COMMAND.replace("pool", "inline")
        process = killed.enter_context(Process(*arguments, "--workers", 0, cwd=tmp_path, code=slow))
        wait_for(lambda: len(shard_files(store)) >= 3 or process.popen.poll() is not None)
        assert process.popen.poll() is None
        process.popen.kill()
        process.popen.wait()
        wait_for(lambda: process.left(0) == [])
    kept = len(shard_files(store))
    with Process(*arguments, "--workers", 0, "--json", cwd=tmp_path) as process:
        code, out, err = process.finish()
    assert code == 0
    assert f"resuming with {kept} of" in err
    assert (json.loads(out)["unit"], json.loads(out)["encoded"] < json.loads(out)["tokens"]) == ("word", True)
    assert datasets(store) == datasets(built)
    assert left_behind(store) == []


def test_a_complete_store_is_seen_as_such_without_torch(built, file, tiny_models, tmp_path):
    request = Request(model=str(tiny_models["bert"]), layers="all", words=file)
    assert finished.is_finished(request, built)
    same = tmp_path / "same.txt"
    same.write_bytes(file.read_bytes())
    other = tmp_path / "other.txt"
    other.write_bytes(file.read_bytes() + b"more\n")
    changes = [{"words": other}, {"words": None}, {"pooling": "first"}, {"words_column": "king"}]
    for change, expected in [({"words": same}, True), *((change, False) for change in changes)]:
        options = {"model": request.model, "layers": "all", "words": file} | change
        assert finished.is_finished(Request(**options), built) is expected
    plan = plan_of(tiny_models["bert"], file)
    assert run_build(plan, built, 0)[0].finished_before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"words": ["king", "queen"]}, "the list of words differs"),
        ({"pooling": "last"}, "pooling was mean, now last"),
        ({"words": None}, r"\(it holds words of a list, not the tokens of a vocabulary\)"),
    ],
)
def test_another_list_or_pooling_is_refused(change, said, built, file, tiny_models):
    before = datasets(built)
    options = {"words": file} | change
    with pytest.raises(SettingsDifferError, match=said) as caught:
        kotovec.build(str(tiny_models["bert"]), built, workers=0, layers="all", device="cpu", **options)
    assert "the list of tokens" not in str(caught.value)
    assert datasets(built) == before


def test_a_vocabulary_and_a_list_are_kept_apart(file, tiny_models, tmp_path):
    store = tmp_path / "x.kotovec"
    kotovec.build(str(tiny_models["bert"]), store, workers=0, device="cpu").close()
    said = r"\(it holds the tokens of a vocabulary, not words of a list\)"
    with pytest.raises(SettingsDifferError, match=said):
        kotovec.build(str(tiny_models["bert"]), store, workers=0, device="cpu", words=file)
    with pytest.raises(InputError, match="words need a store of their own"):
        kotovec.build(str(tiny_models["bert"]), words=file)


def test_an_unfinished_build_of_another_list_is_not_resumed(file, employ, tiny_models, tmp_path):
    employ(Encoder)
    plan, store = plan_of(tiny_models["bert"], file, shard_tokens=200), tmp_path / "x.kotovec"
    begin(plan, store, 2)
    for words, said in ((["king", "queen"], "the list of words differs"), (None, "it holds words of a list")):
        with pytest.raises(SettingsDifferError, match=f"was begun with other settings .*{said}"):
            run_build(plan_of(tiny_models["bert"], load_of(words), shard_tokens=200), store, 0)
    run_build(plan, store, 0)
    assert Store.open(store).verify() == []


def load_of(words):
    from kotovec.cluster.wordlist import gather

    return None if words is None else gather(words)


def test_layers_are_added_to_a_store_of_words(built, file, tiny_models, tmp_path):
    store = tmp_path / "x.kotovec"
    for layers in ("0", "all"):
        kotovec.build(str(tiny_models["bert"]), store, words=file, workers=0, layers=layers, device="cpu").close()
    assert datasets(store) == datasets(built)


def test_words_are_looked_up_as_they_stand_and_no_others(built):
    with Store.open(built) as store:
        answer = store.search("king - man + woman", space="isolated", k=3)
        row = [store.tokens.texts.find(word) for word in ("king", "man", "woman")]
        vectors = store.array("isolated").astype(np.float64)
        wanted = ((vectors - (vectors[row[0]] - vectors[row[1]] + vectors[row[2]])) ** 2).sum(axis=1)
        assert [hit.id for hit in answer.results] == np.argsort(wanted)[:3].tolist()
        assert store.search("#3", k=1).results[0].token == store.tokens.texts[3]
        assert "kakaka" in store
        assert "kakakaka" not in store
        with pytest.raises(UnknownTokenError) as caught:
            store.search("kakakaka")  # its tokens are in the vocabulary, and as words in the list
        assert str(caught.value) == f"`kakakaka` is not one of the {len(store):,} words of this store"
        assert "`kakaka`" in caught.value.hint
        with pytest.raises(NotStoredError, match="holds no word #99999"):
            store.search("#99999")
        with pytest.raises(InputError, match=f"the store has {len(store)} words"):
            store.search("king", k=10_000)


def test_an_unknown_word_among_very_many_is_compared_with_those_that_begin_alike(built, monkeypatch):
    from kotovec.store import terms

    monkeypatch.setattr(terms, "MOST_NEAR", 50)
    with Store.open(built) as store, pytest.raises(UnknownTokenError) as caught:
        store.search("kakakx")
    assert "`kakaka`" in caught.value.hint


def test_info_says_what_the_rows_are(built, capsys):
    assert call("info", "--store", built) == 0
    out = " ".join(capsys.readouterr().out.split())
    with Store.open(built) as store:
        info = store.info()
    about = info["provenance"]["words"]
    assert f"words {info['tokens']:,} of words.txt (mean of each word's tokens), {info['pieces']:,} tokens" in out
    assert "left out 1 duplicate, 1 blank line, 1 unknown to the tokenizer list SHA-256" in out
    assert f"list SHA-256 {about['sha256']}" in out
    assert "template #3 word #4" in out


def test_every_command_works_on_a_store_of_words(built, tmp_path, capsys):
    assert call("verify", "--store", built) == 0
    assert call("norms", "--store", built, "king", "kakaka", "--json") == 0
    assert call("index", "--store", built, "--space", "static", "--metric", "cosine") == 0
    page = tmp_path / "page.html"
    assert call("map", "--store", built, "--method", "pca", "--html", page, "--expression", "king - man + woman") == 0
    text = page.read_text(encoding="utf-8")
    assert "kakaka" in text
    assert call("query", "--store", built, "--space", "both", "--metric", "cosine", "--json", "king - man + woman") == 0
    capsys.readouterr()


def test_damaged_pieces_are_found(built, tmp_path):
    for name, index in (("pieces", 5), ("piece_offsets", 1)):
        copy = tmp_path / "x.kotovec"
        shutil.copytree(built, copy)
        with h5py.File(copy / "tokens.h5", "r+") as table:
            table[name][index] = 77
        with pytest.raises(DamagedError, match=f"{name} does not match its checksum"):
            Vectors(copy)
        shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--words", "none.txt", "--store", "s"], "there is no file none.txt", "name a file of words with --words"),
        (
            ["--words", ".", "--store", "s"],
            ". is no list of words (Is a directory)",
            "name a file of text with --words",
        ),
        (
            ["--words", "none.txt"],
            "--words needs a store of its own",
            "name it with --store, such as --store words.kotovec",
        ),
        (["--pooling", "first"], "--pooling is of a list of words, and none is given", "name it with --words"),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_bad_input_is_one_line_and_a_hint(
    workers, arguments, message, hint, tiny_models, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert call("build", tiny_models["bert"], "--workers", workers, *arguments) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [f"error: {message}", f"hint: {hint}"]
    assert os.listdir(tmp_path) == []


def test_a_dry_run_says_what_would_be_encoded(file, tiny_models, tmp_path, capsys):
    arguments = ["build", tiny_models["bert"], "--words", file, "--store", tmp_path / "x.kotovec", "--dry-run"]
    assert call(*arguments) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "to encode, of words.txt (mean of each word's tokens) left out 1 duplicate, 1 blank line, 1 unknown" in out
    assert call(*arguments, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["tokens"], data["words"]["unspelled"]) == (len(set(WORDS)), 1)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_tables_of_words_need_no_ray_and_no_forward_pass(kind, pooling, file, tiny_models, tmp_path, monkeypatch):
    """Rows of static and output, pooled: against transformers and numpy, also where blocks end within a word."""
    from transformers import AutoTokenizer

    folder = make_llama(tmp_path / "model") if kind == "llama" else tiny_models["bert"]
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 5 * 4 * 32)
    monkeypatch.setattr(Encoder, "load", None)
    spaces = "static,output" if kind == "llama" else "static"
    with kotovec.build(str(folder), tmp_path / "x.kotovec", spaces=spaces, words=file, pooling=pooling) as store:
        words = list(store.tokens.texts)
        found = {str(space): np.array(store.array(space)) for space in store.spaces}
        answer = store.search("king", space="static", k=2)
        assert answer.results[0].token == "king"
    assert list(found) == spaces.split(",")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pool = {"mean": lambda rows: rows.mean(axis=0), "first": lambda rows: rows[0], "last": lambda rows: rows[-1]}
    names = {"static": STATIC_TENSOR[kind], "output": "lm_head.weight"}
    tensors = load_file(folder / "model.safetensors")
    for space, vectors in found.items():
        matrix = tensors[names[space]].astype(np.float64)
        for row in range(0, len(words), 41):
            pieces = tokenizer(words[row], add_special_tokens=False)["input_ids"]
            assert np.abs(vectors[row] - pool[pooling](matrix[pieces])).max() <= 1e-6 * np.abs(matrix).max()
    assert [path.name for path in tmp_path.joinpath("x.kotovec").iterdir() if path.name.startswith(".")] == []


def make_llama(folder):
    """Write a decoder with an output matrix of its own, and the tokenizer of the tiny RoBERTa."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    make_gpt2(folder)
    for path in (*folder.glob("*.safetensors"), folder / "config.json"):
        path.unlink()
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]) + 8
    LlamaForCausalLM(LlamaConfig(vocab_size=tokens, tie_word_embeddings=False, **sizes)).save_pretrained(folder)
    return folder


def test_tables_and_layers_of_words_are_added_to_each_other(built, file, tiny_models, tmp_path):
    store = tmp_path / "x.kotovec"
    model = str(tiny_models["bert"])
    kotovec.build(model, store, spaces="static", words=file, workers=0, device="cpu", layers="last").close()
    found = datasets(store)
    assert {name: found[name] for name in found if name.startswith("static")} == {
        name: value for name, value in datasets(built).items() if name.startswith("static")
    }
    with pytest.raises(SettingsDifferError, match="the list of words differs"):
        kotovec.build(model, store, spaces="static", words=["king"], workers=0, device="cpu")
    assert kotovec.build(model, store, spaces="static", words=file).verify() == []


def test_a_table_of_words_is_added_to_one_of_the_same_weights_and_to_no_other(file, tmp_path):
    folder, store = make_llama(tmp_path / "model"), tmp_path / "x.kotovec"
    kotovec.build(str(folder), store, spaces="static", words=file).close()
    with kotovec.build(str(folder), store, spaces="static,output", words=file) as opened:
        assert list(map(str, opened.spaces)) == ["static", "output"]
        assert opened.verify() == []
    kotovec.build(str(folder), tmp_path / "y.kotovec", spaces="static,output", words=file).close()
    assert datasets(store) == datasets(tmp_path / "y.kotovec")
    other = tmp_path / "z.kotovec"
    kotovec.build(str(folder), other, spaces="static", words=file).close()
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"] += np.float32(1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsDifferError, match="was built from other weights: the rows of its static differ"):
        kotovec.build(str(folder), other, spaces="static,output", words=file)
