"""Folders that people have: each gives the right vectors, or one line that says what it is and the step to a model."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import transformers
from folders import WEIGHTS, add, change, only, reference, refusal, replaced, states

from kotovec.workers.source import resolve

from models import make_bert
from rays import plan_of

BASE = "tohoku-nlp/bert-base-japanese-v3"
CONVERTED = "give the checkpoint that it was converted from, in safetensors"
MERGE = "merge it into its model with PEFT's merge_and_unload(), and save that"
UNPACK = "unpack it, and give the folder that holds config.json"
AGAIN = "download the model again"
GIVE = "give the folder that holds the config.json and the weights of a model, an id on the Hub, or `demo`"
NONE = "is not a model: it holds no config.json"
SAVED = "add the config.json that was saved with them"
BY_4 = "convert it with transformers 4: AutoModel.from_pretrained(FOLDER, {}=True).save_pretrained(FOLDER)"


# ---- sentence-transformers


@pytest.mark.parametrize("top", [None, {"__version__": {"sentence_transformers": "0.3.8"}}])
def test_the_old_layout_of_sentence_transformers_is_read(folder, top, tiny_models):
    """UKPLab/sentence-transformers wrote `0_Transformer`, and a config.json of versions above it."""
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(inner / path.name)
    add(folder, "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors")
    (folder / "modules.json").write_text("[]")
    if top is not None:
        (folder / "config.json").write_text(json.dumps(top))
    assert resolve(str(folder)).folder == inner
    ids = [6, 15, 40]
    model = transformers.AutoModel.from_pretrained(tiny_models["bert"])
    found, plan = states(folder, ids, [0, 1, 2])
    np.testing.assert_allclose(found, reference(model, plan, ids, [0, 1, 2]), atol=1e-5)


def test_a_model_at_the_top_wins_over_a_folder_below(folder):
    shutil.copytree(folder, folder / "0_Transformer")
    assert resolve(str(folder)).folder == folder


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["modules.json", "0_StaticEmbedding/tokenizer.json", "0_StaticEmbedding/model.safetensors"],
            "static embeddings",
        ),
        (["modules.json", "tokenizer.json", "model.safetensors"], "static embeddings"),
        (["modules.json", "0_WordEmbeddings/wordembedding_config.json"], "word embeddings"),
    ],
)
def test_sentence_transformers_without_a_transformer_are_named(folder, names, message):
    only(folder, *names)
    assert refusal(folder)[0] == f"F holds {message} of sentence-transformers, and no transformer"
    assert refusal(folder)[1].startswith("choose a model with hidden states")


def test_a_static_model_of_model2vec_is_named(folder):
    change(folder / "config.json", model_type="model2vec", architectures=["StaticModel"])
    assert refusal(folder, plan_of) == (
        "the config.json of F does not load: it is a StaticModel of model2vec, which has no hidden states",
        "choose the model it was distilled from",
    )


# ---- without a config


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        ([], NONE, GIVE),
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            "holds an adapter alone (adapter_config.json), and no model",
            MERGE,
        ),
        (
            ["model.Q4_K_M.gguf", "README.md"],
            "holds a GGUF file (model.Q4_K_M.gguf), which kotovec does not read",
            CONVERTED,
        ),
        (
            ["bert_config.json", "bert_model.ckpt.index", "vocab.txt"],
            "holds a checkpoint of TensorFlow 1 (bert_model.ckpt.index), which kotovec does not read",
            "convert it with transformers 4: transformers-cli convert",
        ),
        (
            ["bert_config.json", "pytorch_model.bin", "vocab.txt"],
            "holds bert_config.json, and no config.json",
            'copy it to config.json, and add "model_type": "bert" to that',
        ),
        (
            ["consolidated.00.pth", "params.json", "tokenizer.model"],
            "holds weights in their maker's own form (consolidated.00.pth), which kotovec does not read",
            "choose the repository in the form of transformers (-hf)",
        ),
        (["model.safetensors", "vocab.txt"], "holds weights (model.safetensors), and no config.json", SAVED),
        (
            ["pytorch_model.bin", "rng_state_0.pth", "latest"],
            "holds weights (pytorch_model.bin), and no config.json",
            SAVED,
        ),
        (
            ["tokenizer.json", "tokenizer_config.json"],
            "holds a tokenizer (tokenizer.json), and no model",
            "give the folder of the weights, with the tokenizer's files in it",
        ),
        (["checkpoint-500/config.json", "checkpoint-1000/config.json"], NONE, "give F/checkpoint-1000"),
        (["refs/main", "blobs/a", "snapshots/0123/config.json"], NONE, "give F/snapshots/0123"),
        (["models--a--b/snapshots/0123/config.json"], NONE, "give F/models--a--b/snapshots/0123"),
        (
            [".cache/huggingface/download/model.safetensors.abc.incomplete"],
            "holds an unfinished download (model.safetensors.abc.incomplete)",
            AGAIN,
        ),
        (["model.zip"], "holds an archive (model.zip), which kotovec does not read", UNPACK),
        (["onnx/model.onnx", "vocab.txt"], "holds an ONNX model (model.onnx), which kotovec does not read", CONVERTED),
    ],
)
def test_a_folder_without_config_says_what_it_holds(folder, names, message, hint):
    only(folder, *names)
    assert refusal(folder) == (f"F {message}", hint)


def test_an_adapter_names_its_model(folder):
    only(folder, "adapter_config.json")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": BASE}))
    hint = f"merge it into `{BASE}` with PEFT's merge_and_unload(), and save that"
    assert refusal(folder) == ("F holds an adapter alone (adapter_config.json), and no model", hint)
    (folder / "config.json").write_text('{"model_type": "bert"}')  # as sentence-transformers saves it
    assert refusal(folder) == ("F holds an adapter (adapter_config.json)", hint)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_link_whose_file_is_missing_is_named(folder, name):
    """A copy of the cache's snapshot without its blobs."""
    (folder / name).unlink()
    (folder / name).symlink_to("../../blobs/0123")
    message, hint = refusal(folder, plan_of)
    assert f"{name} is a link to a file that is missing" in message
    assert hint == "copy the files, not the links to them"


# ---- without weights


@pytest.mark.parametrize(
    ("names", "instead", "hint"),
    [
        ([], "", "download them into the folder of config.json"),
        (["model.fp16.safetensors"], ", only the variant model.fp16.safetensors", "rename it to model.safetensors"),
        (["pytorch_model.fp16.bin"], ", only the variant pytorch_model.fp16.bin", "rename it to pytorch_model.bin"),
        (
            ["model_quantized.safetensors"],
            ", only the variant model_quantized.safetensors",
            "rename it to model.safetensors",
        ),
        (
            ["model.fp16-00001-of-00002.safetensors", "model.safetensors.index.fp16.json"],
            ", only a variant in parts (model.fp16-00001-of-00002.safetensors, …)",
            "load it with `variant`, and save it without",
        ),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            ", and no index names the parts (model-00001-of-00002.safetensors, …)",
            "download the index, too",
        ),
        (["m.gguf"], ", only a GGUF file (m.gguf)", CONVERTED),
        (["tf_model.h5"], ", only TensorFlow weights (tf_model.h5)", BY_4.format("from_tf")),
        (["flax_model.msgpack"], ", only Flax weights (flax_model.msgpack)", BY_4.format("from_flax")),
        (["onnx/model.onnx", "onnx/model_quantized.onnx"], ", only an ONNX model (model.onnx)", CONVERTED),
        (
            ["openvino/openvino_model.xml", "openvino/openvino_model.bin"],
            ", only an OpenVINO model (openvino_model.xml)",
            CONVERTED,
        ),
        (["openvino_model.xml", "openvino_model.bin"], ", only an OpenVINO model (openvino_model.xml)", CONVERTED),
        (["adapter_model.bin"], ", only an adapter (adapter_model.bin)", MERGE),
        (["model.safetensors.incomplete"], ", only an unfinished download (model.safetensors.incomplete)", AGAIN),
        (
            ["diffusion_model.safetensors"],
            ", only diffusion_model.safetensors",
            "rename it to model.safetensors if it holds the whole model",
        ),
        (
            ["zero_to_fp32.py", "global_step5/mp_rank_00_model_states.pt"],
            ", only a checkpoint of DeepSpeed (zero_to_fp32.py)",
            "run `python zero_to_fp32.py . .` in it",
        ),
        (
            ["last.ckpt"],
            ", only a checkpoint of another program (last.ckpt)",
            "save the model in it with save_pretrained",
        ),
        (["model/pytorch_model.bin"], ", only in model", "give F/model, with config.json in it"),
    ],
)
def test_a_folder_without_weights_says_what_it_holds_instead(folder, names, instead, hint):
    replaced(folder, *names)
    message = "F has no weights: neither model.safetensors nor pytorch_model.bin is in F"
    assert refusal(folder, plan_of) == (message + instead, hint)


def test_a_variant_beside_the_weights_changes_nothing(folder):
    before = plan_of(folder).settings
    add(
        folder,
        "model.fp16.safetensors",
        "model_quantized.safetensors",
        "pytorch_model.bin",
        "m.gguf",
        "onnx/model.onnx",
    )
    assert plan_of(folder).settings == before


def test_a_missing_part_is_named(tmp_path):
    folder = make_bert(tmp_path / "model", shard_size="40KB")
    part = sorted(folder.glob("model-*.safetensors"))[1]
    part.unlink()
    assert refusal(folder) == (
        f"F/{WEIGHTS}.index.json names {part.name}, which is missing",
        AGAIN,
    )


# ---- what is in the files

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 440473133\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Hugging Face</title>"


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "config.json", "spiece.model"])
@pytest.mark.parametrize(("content", "what"), [(POINTER, "a pointer of Git LFS"), (PAGE, "a web page")])
def test_a_pointer_or_a_page_in_a_files_place_is_named(folder, name, content, what):
    (folder / name).write_bytes(content)
    message, hint = refusal(folder)
    assert message == f"F/{name} is {what}, not the file itself"
    assert hint == ("run `git lfs pull` in F, or download the model again" if content == POINTER else AGAIN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"Entry not found", "holds no weights, but a message (`Entry not found`)"),
        (b"GGUF\x03\0\0\0" + bytes(600), "is a GGUF file, which kotovec does not read"),
        (b"PK\x03\x04" + bytes(600), "is not of safetensors, but of torch"),
    ],
)
def test_weights_that_are_something_else_are_named(folder, content, message):
    (folder / WEIGHTS).write_bytes(content)
    assert refusal(folder)[0] == f"F/{WEIGHTS} {message}"
    assert refusal(folder)[1]


@pytest.mark.parametrize("name", ["bert", "bert-bin"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_download_that_was_cut_off_is_told_so(tmp_path, tiny_models, name, kept):
    folder = Path(shutil.copytree(tiny_models[name], tmp_path / "model"))
    path = next(each for each in folder.iterdir() if each.name in (WEIGHTS, "pytorch_model.bin"))
    os.truncate(path, int(path.stat().st_size * kept))
    message, hint = refusal(folder, plan_of)
    assert re.search(r"is damaged|do not load", message)
    assert hint == AGAIN


def test_weights_that_this_user_may_not_read_are_not_damaged(folder, monkeypatch):
    """The error was: is damaged ([Errno 13] Permission denied)."""
    opened = Path.open

    def refused(path, *arguments, **options):
        if path.name == WEIGHTS:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert refusal(folder) == (f"F/{WEIGHTS} cannot be read (Permission denied)", "give this user access to it")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("model.zip", "is a file, an archive", UNPACK),
        ("model.tar.gz", "is a file, an archive", UNPACK),
        ("m.gguf", "is a file, a GGUF file", CONVERTED),
        ("model.safetensors", "is a file", "give the folder that holds config.json and the weights"),
    ],
)
def test_a_file_in_a_folders_place_is_named(tmp_path, name, message, hint):
    (tmp_path / name).touch()
    assert refusal(tmp_path / name) == (f"F {message}", hint)


def test_the_weights_themselves_lead_to_their_folder(folder):
    assert refusal(folder / WEIGHTS) == ("F is a file", f"give its folder, {folder}")


@pytest.mark.parametrize("name", [".venv/lib/site-packages/distutils-precedence.pth", "data/photos.zip", "old/x.ckpt"])
def test_a_project_is_no_checkpoint_of_another_program(folder, name):
    only(folder, name)
    assert refusal(folder)[0] == "F is not a model: it holds no config.json"


def test_a_number_that_is_no_decimal_is_no_error(folder):
    only(folder, "m/x5²/config.json", "m/x10/config.json")
    assert refusal(folder) == ("F is not a model: it holds no config.json", "give F/m/x10")
