"""Folders that people have: each gives the right vectors, or one line that says what it is and the step to a model."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from kotovec.cluster.build import build
from kotovec.cluster.where import Resources
from kotovec.errors import InputError, ModelError
from kotovec.space import Space
from kotovec.store.vectors import Vectors
from kotovec.workers import forward
from kotovec.workers.inputs import Inputs
from kotovec.workers.source import resolve

from models import _small, bert_vocabulary, make_bert, save
from rays import plan_of

WEIGHTS = "model.safetensors"
BASE = "tohoku-nlp/bert-base-japanese-v3"


@pytest.fixture
def folder(tmp_path, tiny_models):
    return Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))


def change(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def only(folder, *names):
    """Leave nothing but these files, which are made where they are missing."""
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
    add(folder, *names)


def add(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def replaced(folder, *names):
    """Put other files in the place of the weights."""
    (folder / WEIGHTS).unlink()
    add(folder, *names)


def refusal(folder, work=resolve):
    """Return the error's line and its hint, with the folder's own path as F."""
    with pytest.raises(InputError) as caught:
        work(str(folder))
    message, hint = str(caught.value), caught.value.hint
    assert "\n" not in message
    assert hint is None or "\n" not in hint
    return message.replace(str(folder), "F"), (hint or "").replace(str(folder), "F")


def states(folder, ids, layers):
    """Return the hidden states (L, n, D) of ids in the model's template, by the forward pass that a build takes."""
    plan = plan_of(folder, layers=",".join(map(str, layers)))
    spec = plan.spec
    loaded = forward.load(
        spec.source, spec.forward, spec.architecture, spec.layers, spec.depth, 96, torch.float32, "cpu", spec.tensor
    )
    with torch.inference_mode():
        (batch,) = Inputs.isolated(np.array(ids), spec.template).batches(96)
        return np.stack([state.numpy()[np.argsort(batch.index)] for state in loaded.states(batch)]), plan


def reference(model, plan, ids, layers):
    """Return the same by transformers' own forward pass."""
    prefix, suffix = plan.spec.template.prefix, plan.spec.template.suffix
    inputs = torch.tensor([[*prefix, token_id, *suffix] for token_id in ids])
    with torch.inference_mode():
        found = model.eval()(inputs, output_hidden_states=True).hidden_states
    return np.stack([found[layer][:, len(prefix)].numpy() for layer in layers])


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
        ([], "is not a model: it holds no config.json", ""),
        (["adapter_config.json", "adapter_model.safetensors"], "holds an adapter alone (adapter_config.json), and no model", "merge it into its model with PEFT's merge_and_unload(), and save that"),
        (["model.Q4_K_M.gguf", "README.md"], "holds a GGUF file (model.Q4_K_M.gguf), which kotovec does not read", "give the checkpoint that it was converted from, in safetensors"),
        (["bert_config.json", "bert_model.ckpt.index", "vocab.txt"], "holds a checkpoint of TensorFlow 1 (bert_model.ckpt.index), which kotovec does not read", "convert it with transformers 4: transformers-cli convert"),
        (["bert_config.json", "pytorch_model.bin", "vocab.txt"], "holds bert_config.json, and no config.json", 'copy it to config.json, and add "model_type": "bert" to that'),
        (["consolidated.00.pth", "params.json", "tokenizer.model"], "holds weights in their maker's own form (consolidated.00.pth), which kotovec does not read", "choose the repository in the form of transformers (-hf)"),
        (["model.safetensors", "vocab.txt"], "holds weights (model.safetensors), and no config.json", "add the config.json that was saved with them"),
        (["pytorch_model.bin", "rng_state_0.pth", "latest"], "holds weights (pytorch_model.bin), and no config.json", "add the config.json that was saved with them"),
        (["tokenizer.json", "tokenizer_config.json"], "holds a tokenizer (tokenizer.json), and no model", "give the folder of the weights, with the tokenizer's files in it"),
        (["checkpoint-500/config.json", "checkpoint-1000/config.json"], "is not a model: it holds no config.json", "give F/checkpoint-1000"),
        (["refs/main", "blobs/a", "snapshots/0123/config.json"], "is not a model: it holds no config.json", "give F/snapshots/0123"),
        (["models--a--b/snapshots/0123/config.json"], "is not a model: it holds no config.json", "give F/models--a--b/snapshots/0123"),
        ([".cache/huggingface/download/model.safetensors.abc.incomplete"], "holds an unfinished download (model.safetensors.abc.incomplete)", "download the model again"),
        (["model.zip"], "holds an archive (model.zip), which kotovec does not read", "unpack it, and give the folder that holds config.json"),
        (["onnx/model.onnx", "vocab.txt"], "holds an ONNX model (model.onnx), which kotovec does not read", "give the checkpoint that it was converted from, in safetensors"),
    ],
)  # fmt: skip
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
        (["model_quantized.safetensors"], ", only the variant model_quantized.safetensors", "rename it to model.safetensors"),
        (["model.fp16-00001-of-00002.safetensors", "model.safetensors.index.fp16.json"], ", only a variant in parts (model.fp16-00001-of-00002.safetensors, …)", "load it with `variant`, and save it without"),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], ", and no index names the parts (model-00001-of-00002.safetensors, …)", "download the index, too"),
        (["m.gguf"], ", only a GGUF file (m.gguf)", "give the checkpoint that it was converted from, in safetensors"),
        (["tf_model.h5"], ", only TensorFlow weights (tf_model.h5)", "convert it with transformers 4: AutoModel.from_pretrained(FOLDER, from_tf=True).save_pretrained(FOLDER)"),
        (["flax_model.msgpack"], ", only Flax weights (flax_model.msgpack)", "convert it with transformers 4: AutoModel.from_pretrained(FOLDER, from_flax=True).save_pretrained(FOLDER)"),
        (["onnx/model.onnx", "onnx/model_quantized.onnx"], ", only an ONNX model (model.onnx)", "give the checkpoint that it was converted from, in safetensors"),
        (["openvino/openvino_model.xml", "openvino/openvino_model.bin"], ", only an OpenVINO model (openvino_model.xml)", "give the checkpoint that it was converted from, in safetensors"),
        (["openvino_model.xml", "openvino_model.bin"], ", only an OpenVINO model (openvino_model.xml)", "give the checkpoint that it was converted from, in safetensors"),
        (["adapter_model.bin"], ", only an adapter (adapter_model.bin)", "merge it into its model with PEFT's merge_and_unload(), and save that"),
        (["model.safetensors.incomplete"], ", only an unfinished download (model.safetensors.incomplete)", "download the model again"),
        (["diffusion_model.safetensors"], ", only diffusion_model.safetensors", "rename it to model.safetensors if it holds the whole model"),
        (["zero_to_fp32.py", "global_step5/mp_rank_00_model_states.pt"], ", only a checkpoint of DeepSpeed (zero_to_fp32.py)", "run `python zero_to_fp32.py . .` in it"),
        (["last.ckpt"], ", only a checkpoint of another program (last.ckpt)", "save the model in it with save_pretrained"),
        (["model/pytorch_model.bin"], ", only in model", "give F/model, with config.json in it"),
    ],
)  # fmt: skip
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
        "download the model again",
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
    assert hint == (
        "run `git lfs pull` in F, or download the model again" if content == POINTER else "download the model again"
    )


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
    assert hint == "download the model again"


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
        ("model.zip", "is a file, an archive", "unpack it, and give the folder that holds config.json"),
        ("model.tar.gz", "is a file, an archive", "unpack it, and give the folder that holds config.json"),
        ("m.gguf", "is a file, a GGUF file", "give the checkpoint that it was converted from, in safetensors"),
        ("model.safetensors", "is a file", "give the folder that holds config.json and the weights"),
    ],
)
def test_a_file_in_a_folders_place_is_named(tmp_path, name, message, hint):
    (tmp_path / name).touch()
    assert refusal(tmp_path / name) == (f"F {message}", hint)


def test_the_weights_themselves_lead_to_their_folder(folder):
    assert refusal(folder / WEIGHTS) == ("F is a file", f"give its folder, {folder}")


# ---- names of tensors


def renamed(folder, name_of):
    path = folder / WEIGHTS
    save_file({name_of(name): tensor for name, tensor in load_file(path).items()}, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("name_of", "wrapper"),
    [
        (lambda name: f"module.{name}", "module"),
        (lambda name: f"_orig_mod.{name}", "_orig_mod"),
        (lambda name: f"bert._orig_mod.{name}", "_orig_mod"),
        (lambda name: name.replace("encoder.layer.0.", "encoder.layer.0._orig_mod."), "_orig_mod"),
        (lambda name: f"_fsdp_wrapped_module.{name}", "_fsdp_wrapped_module"),
    ],
)
def test_tensors_that_are_named_for_a_wrapper_are_refused(folder, name_of, wrapper):
    renamed(folder, name_of)
    message, hint = refusal(folder, plan_of)
    assert message.startswith(f"the tensors of F are named for a wrapper of the model, `{wrapper}` (")
    assert hint == f"save the model inside it, or the tensors without `{wrapper}.` in their names"


@pytest.mark.parametrize("prefix", ["model.", "0.auto_model.", "model.bert."])
def test_tensors_behind_another_prefix_are_refused(folder, prefix):
    renamed(folder, lambda name: prefix + name)
    message, hint = refusal(folder, lambda name: states(name, [6], [2]))
    assert message == (
        "the weights of F lack 37 of the model's parameters (embeddings.LayerNorm.bias, …), and hold them under other "
        f"names ({prefix}embeddings.LayerNorm.bias)"
    )
    assert hint == f"save the tensors without `{prefix}` in their names"


@pytest.mark.parametrize(
    ("wrapped", "message"),
    [
        (lambda tensors: {"state_dict": tensors, "epoch": 3}, "holds its tensors inside of `state_dict`"),
        (lambda tensors: {"epoch": 3, "model": tensors}, "holds its tensors inside of `model`"),
        (lambda tensors: list(tensors.values()), "holds a list, not tensors by name"),
        (lambda tensors: {"epoch": list(range(30_000)), "n": len(tensors)}, "holds no tensors"),
    ],
)
def test_a_state_dict_inside_of_another_is_refused(folder, wrapped, message):
    torch.save(wrapped(load_file(folder / WEIGHTS)), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    found, hint = refusal(folder, plan_of)
    assert found == f"F/pytorch_model.bin {message}"
    assert hint.startswith("save the model's state dict in its place")


@pytest.mark.parametrize("where", ["config", "weights"])
def test_weights_of_another_size_are_named_with_both(tmp_path, where):
    """transformers' own line is: You set `ignore_mismatched_sizes` to `False`, thus raising an error."""
    folder = tmp_path / "model"
    save(
        transformers.ElectraModel, transformers.ElectraConfig(**_small(), embedding_size=16, vocab_size=397), folder, 0
    )
    if where == "config":
        change(folder / "config.json", intermediate_size=65)
    else:
        renamed(folder, lambda name: name)
        tensors = load_file(folder / WEIGHTS)
        tensors["encoder.layer.0.intermediate.dense.bias"] = torch.zeros(3)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(ModelError, match=r"hold encoder\.layer\.0\.intermediate\.dense\.bias as \((64|3),\), its con"):
        forward.auto.load_model(resolve(str(folder)))


# ---- encoders alone, tied matrices, layers of two widths


def with_vocabulary(folder, tiny_models):
    for path in tiny_models["bert"].glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("kind", ["T5", "MT5", "UMT5"])
def test_an_encoder_alone_is_read(tmp_path, tiny_models, kind):
    """sentence-t5 and gtr are T5EncoderModel, whose config.json still says is_encoder_decoder."""
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(bert_vocabulary()), d_model=32, d_kv=8, d_ff=64, num_layers=3, num_decoder_layers=1, num_heads=4,
        is_encoder_decoder=True,
    )  # fmt: skip
    own = getattr(transformers, f"{kind}EncoderModel")
    folder = with_vocabulary(save(own, config, tmp_path / "model", 0), tiny_models)
    change(folder / "config.json", is_encoder_decoder=True)
    ids, layers = [6, 15, 40], [0, 1, 2, 3]
    found, plan = states(folder, ids, layers)
    np.testing.assert_allclose(found, reference(own.from_pretrained(folder), plan, ids, layers), atol=1e-5)
    store = tmp_path / "s.kotovec"
    build(plan, store, Resources(workers=0))
    static = own.from_pretrained(folder).get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(Vectors(store).array(Space("static"))[:], static[plan.tokens.ids])


def test_a_whole_encoder_decoder_is_still_refused(tmp_path, tiny_models):
    config = transformers.T5Config(vocab_size=397, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    folder = with_vocabulary(save(transformers.T5Model, config, tmp_path / "model", 0), tiny_models)
    assert refusal(folder, plan_of) == ("F is an encoder-decoder (t5)", "choose an encoder such as BERT")


@pytest.mark.parametrize("tied", [True, False])
def test_a_matrix_that_is_saved_as_the_output_it_is_tied_to_is_read(tmp_path, tiny_models, tied):
    config = transformers.LlamaConfig(
        vocab_size=len(bert_vocabulary()), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, tie_word_embeddings=True,
    )  # fmt: skip
    folder = with_vocabulary(save(transformers.LlamaForCausalLM, config, tmp_path / "model", 0), tiny_models)
    model = transformers.AutoModel.from_pretrained(folder)
    renamed(folder, lambda name: "lm_head.weight" if "embed_tokens" in name else name)
    if not tied:
        change(folder / "config.json", tie_word_embeddings=False)
        message, _ = refusal(folder, lambda name: states(name, [6], [2]))
        assert "lack 1 of the model's parameters (embed_tokens.weight, …)" in message
        return
    ids = [6, 15, 40]
    found, plan = states(folder, ids, [0, 1, 2])
    np.testing.assert_allclose(found, reference(model, plan, ids, [0, 1, 2]), atol=1e-5)
    assert plan.table.tensor is None


def test_layers_of_two_widths_are_told(tmp_path, tiny_models):
    """OPT-350m projects its last layer from 1024 dimensions to 512."""
    config = transformers.OPTConfig(
        vocab_size=len(bert_vocabulary()), hidden_size=32, word_embed_proj_dim=16, num_hidden_layers=2,
        num_attention_heads=4, ffn_dim=64, max_position_embeddings=64,
    )  # fmt: skip
    folder = with_vocabulary(save(transformers.OPTModel, config, tmp_path / "model", 0), tiny_models)
    assert refusal(folder, lambda name: states(name, [6], [2])) == (
        "layer 2 of F has 16 dimensions, its config.json says 32",
        "choose other layers with --layers",
    )
    model = transformers.AutoModel.from_pretrained(folder)
    found, plan = states(folder, [6, 15], [1])
    np.testing.assert_allclose(found, reference(model, plan, [6, 15], [1]), atol=1e-5)


def test_a_model_that_counts_the_layers_of_its_parts_is_no_damaged_one(folder):
    """The error was: config.json claims num_hidden_layers {'vision': 5, …}, which no model has."""
    layers = {"vision": 5, "cross_encoder": 5, "language": 9}
    change(folder / "config.json", model_type="lxmert", num_hidden_layers=layers, architectures=["LxmertModel"])
    assert refusal(folder, plan_of) == (
        "F (lxmert) is a model of several parts (vision, cross_encoder, language)",
        "choose a text encoder",
    )


# ---- errors of transformers


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"model_type": "zzz"}, "the config.json of F does not load: transformers does not know the model_type `zzz`", "update transformers, or choose another model"),
        ({"model_type": None}, "the config.json of F does not load: it names no model_type", 'add the type, such as "model_type": "bert"'),
        ({"hidden_act": "foo"}, "F does not load: transformers knows no hidden_act 'foo', as its config.json says", "correct config.json, or update transformers"),
        ({"num_hidden_layers": {"a": 1}}, "the config.json of F does not load: Validation error for field 'num_hidden_layers': TypeError: Field 'num_hidden_layers' expected int, got dict (value: {'a': 1})", "correct config.json, or update transformers"),
        ({"layer_norm_eps": "x"}, "the config.json of F does not load: Validation error for field 'layer_norm_eps': TypeError: Field 'layer_norm_eps' expected float, got str (value: 'x')", "correct config.json, or update transformers"),
        ({"vocab_size": "397"}, "F/config.json claims vocab_size '397', which no model has", "write it without quotes"),
    ],
)  # fmt: skip
def test_a_config_that_transformers_refuses_says_why(folder, changes, message, hint):
    change(folder / "config.json", **changes)
    assert refusal(folder, plan_of) == (message, hint)


BASIC = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n王\n女\n"
JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}


@pytest.mark.parametrize(
    ("files", "config", "message", "hint"),
    [
        ({"vocab.txt": BASIC}, JAPANESE | {"mecab_kwargs": {"mecab_dic": None}}, r"F has no tokenizer that transformers can load: MeCab does not start \(.*no such file or directory: \S+mecabrc\)", "name one of its dictionaries with --mecab-dic"),
        ({"vocab.txt": BASIC}, JAPANESE | {"word_tokenizer_type": "sudachi"}, "the tokenizer of F needs sudachipy", "install it: pip install sudachipy"),
        ({"spiece.model": "\n"}, {"tokenizer_class": "AlbertTokenizer"}, "F has no tokenizer that transformers can load: spiece.model is damaged, or no model of SentencePiece", "download the model again"),
        ({"spiece.model": "\n"}, {"tokenizer_class": "DistilBertJapaneseTokenizer"}, "F has no tokenizer that transformers can load: it knows no class DistilBertJapaneseTokenizer for these files", "add the tokenizer.json that the model was trained with, or name its class as tokenizer_class"),
        ({"vocab.txt": "a 1\n"}, {"tokenizer_class": "PhobertTokenizer"}, "F has no tokenizer that transformers can load: bpe.codes is missing", "download it into F, too"),
        ({"vocab.json": '{"a": 0}'}, {"tokenizer_class": "RobertaTokenizer"}, "F has no tokenizer that transformers can load: merges.txt is missing", "download it into F, too"),
        ({"vocab.json": '{"a": 0', "merges.txt": "a b\n"}, {"tokenizer_class": "RobertaTokenizer"}, "F has no tokenizer that transformers can load: Error while initializing BPE: EOF while parsing an object at line 1 column 7", "download the model again"),
        ({}, {}, "F has no tokenizer: neither tokenizer.json nor a vocab file is in F", "copy the tokenizer's files into it"),
        ({"tokenizer/vocab.txt": BASIC}, {}, "F has no tokenizer: neither tokenizer.json nor a vocab file is in F", "copy the tokenizer's files into it from F/tokenizer"),
        ({"../tokenizer/vocab.txt": BASIC}, {}, "F has no tokenizer: neither tokenizer.json nor a vocab file is in F", "copy the tokenizer's files into it from P/tokenizer"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_does_not_load_says_why(folder, files, config, message, hint):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        add(folder, name)
        (folder / name).write_text(content)
    found = refusal(folder, plan_of)
    assert re.fullmatch(message if "MeCab" in message else re.escape(message), found[0])
    assert found[1].replace(str(folder.parent), "P") == hint
