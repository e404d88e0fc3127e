"""A complete store of tables, or of words, is recognized before torch is imported; one that may differ is not."""

import json
import shutil
import subprocess
import sys

import pytest

import kotovec
from kotovec.cluster.finished import is_finished
from kotovec.cluster.request import Request
from kotovec.cluster.wordlist import gather

from commands import environment

WORDS = "king\nqueen\nnew york\n"
# The model, the arguments of a build, and whether a word file is given, too.
CASES = {
    "static": ("bert", {"spaces": "static"}, False),
    "words": ("bert", {"spaces": "static"}, True),
    "words-of-layers": ("bert", {}, True),
    "tied": ("gpt2", {"spaces": "static,output"}, False),
    "output": ("gpt2", {"spaces": "output"}, False),
    "decoder": ("gpt2", {}, False),
    "no-bos": ("gpt2", {"bos": False, "spaces": "static,isolated"}, False),
    "template": ("bert", {"template": "the {} is", "layers": "all"}, False),
    "words-in-a-template": ("gpt2", {"template": "the {} is"}, True),
    "all-three": ("gpt2", {"spaces": "static,output,isolated"}, False),
}


class Stores(dict):
    """The requests, and the stores built of them, by the names of `CASES`."""

    def __init__(self, models, folder):
        gpt2 = shutil.copytree(models["gpt2"], folder / "gpt2")
        config = json.loads((gpt2 / "config.json").read_text())
        (gpt2 / "config.json").write_text(json.dumps(config | {"architectures": ["GPT2LMHeadModel"]}))
        self._models, self._folder = {"bert": models["bert"], "gpt2": gpt2}, folder
        (folder / "words.txt").write_text(WORDS)

    def __missing__(self, name):
        model, options, has_words = CASES[name]
        options = {"model": str(self._models[model])} | options
        if has_words:
            options["words"] = self._folder / "words.txt"
        kotovec.build(store=self._folder / f"{name}.kotovec", workers=0, device="cpu", **options).close()
        self[name] = Request(**options), self._folder / f"{name}.kotovec"
        return self[name]


@pytest.fixture(scope="module")
def stores(tiny_models, tmp_path_factory):
    return Stores(tiny_models, tmp_path_factory.mktemp("finished"))


def changed(request, **changes):
    return Request(**{name: getattr(request, name) for name in request.__dataclass_fields__} | changes)


@pytest.mark.parametrize("name", CASES)
def test_it_is_recognized(stores, name):
    assert is_finished(*stores[name])


SCRIPT = """
import sys
import kotovec
from pathlib import Path
words = {"words": sys.argv[4]} if len(sys.argv) > 4 else {}
kotovec.build(sys.argv[1], sys.argv[2], spaces=sys.argv[3], **words).close()
print(sorted({"torch", "transformers", "ray", "tokenizers"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", ["static", "words", "tied"])
def test_python_imports_nothing_heavy_for_it(stores, name):
    """It read tokenizer and model first, for 6 to 12 s."""
    request, store = stores[name]
    arguments = [request.model, store, request.spaces, *([request.words] if request.words else [])]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "changes", "finished"),
    [
        ("static", {"spaces": "static,output"}, False),
        ("static", {"spaces": "output"}, False),
        ("static", {"spaces": "static,isolated"}, False),
        ("static", {"layers": "7"}, True),  # of no space that is asked for
        ("static", {"token_filter": ("word",)}, False),
        ("static", {"words": gather(["king"])}, False),
        ("tied", {"spaces": "static"}, True),
        ("tied", {"spaces": "output"}, True),
        ("tied", {"bos": False}, False),  # whether its token is the tokenizer's own is not recorded
        ("decoder", {"bos": False}, False),
        ("decoder", {"spaces": "static"}, True),
        ("decoder", {"spaces": "static,output"}, False),
        ("no-bos", {"bos": True}, False),
        ("words", {"words": None}, False),
        ("words", {"words": gather(["king", "queen", "new york"])}, True),
        ("words", {"words": gather(["queen", "king", "new york"])}, False),
        ("words", {"pooling": "first"}, False),
        ("words", {"words_column": "king"}, False),
        ("words-of-layers", {"spaces": "static"}, True),
        ("template", {"layers": "1"}, True),
        ("template", {"template": "a {} is"}, False),
        ("template", {"template": None}, False),
        ("template", {"template": None, "spaces": "static"}, True),
        ("words-of-layers", {"template": "the {} is"}, False),
    ],
    ids=str,
)
def test_another_request_is_left_to_the_plan(stores, name, changes, finished):
    request, store = stores[name]
    assert is_finished(changed(request, **changes), store) is finished


@pytest.mark.parametrize("name", ["words", "words-of-layers"])
def test_a_changed_word_file_is_no_longer_that_of_the_store(stores, name, tmp_path):
    request, store = stores[name]
    file = tmp_path / "words.txt"
    file.write_text(WORDS)
    assert is_finished(changed(request, words=file), store)
    file.write_text(WORDS.replace("queen", "quean"))
    assert not is_finished(changed(request, words=file), store)
    file.unlink()
    assert not is_finished(changed(request, words=file), store)


@pytest.mark.parametrize("change", ["weights", "config", "tokenizer", "space", "shards", "pickled"])
def test_a_changed_model_or_store_of_tables_is_left_to_the_plan(stores, tmp_path, change):
    import torch
    from safetensors.torch import load_file, save_file

    request, store = stores["static"]
    model, store = (
        shutil.copytree(folder, tmp_path / str(folder).rsplit("/")[-1]) for folder in (request.model, store)
    )
    weights = model / "model.safetensors"
    if change == "weights":
        save_file(load_file(weights) | {"another": torch.zeros(1)}, weights)
    elif change == "pickled":
        torch.save(load_file(weights), model / "pytorch_model.bin")
        weights.unlink()
    elif change in ("config", "tokenizer"):
        file = model / f"{change}.json"
        file.write_text(file.read_text() + " ")
    elif change == "space":
        (store / "spaces" / "static.h5").unlink()
    else:
        (store / "shards").mkdir()
    assert not is_finished(changed(request, model=str(model)), store)


def test_tokens_of_another_number_of_rows_are_left_to_the_plan(stores, tmp_path):
    """Rows without a token change no list; that all tables have as many is all that can be seen."""
    request, store = stores["decoder"]
    assert is_finished(changed(request, spaces="static"), store)
    model = shutil.copytree(request.model, tmp_path / "gpt2")
    config = model / "config.json"
    config.write_text(config.read_text().replace('"vocab_size": ', '"vocab_size": 1'))
    assert not is_finished(changed(request, model=str(model), spaces="static"), store)
