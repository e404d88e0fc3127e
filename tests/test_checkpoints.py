"""Checkpoints that people have: tensors under other names, encoders alone, and what transformers says of the rest."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from folders import WEIGHTS, add, change, reference, refusal, states
from safetensors.torch import load_file, save_file

from kotovec.cluster.build import build
from kotovec.cluster.where import Resources
from kotovec.errors import ModelError
from kotovec.space import Space
from kotovec.store.vectors import Vectors
from kotovec.workers import forward
from kotovec.workers.source import resolve

from models import _small, bert_vocabulary, save
from rays import plan_of

CONFIG = "the config.json of F does not load: "
INVALID = "Validation error for field '{0}': TypeError: Field '{0}' expected {1}, got {2}"
TOKENIZER = "F has no tokenizer that transformers can load: "
AGAIN = "download the model again"
ALONE = "save the model's state dict in its place"
CORRECT = "correct config.json, or update transformers"


# ---- names of tensors


def renamed(folder, name_of):
    path = folder / WEIGHTS
    save_file({name_of(name): tensor for name, tensor in load_file(path).items()}, path, {"format": "pt"})


def as_pickle(folder, wrapped):
    """Put a pickle of what `wrapped` makes of the tensors in the place of the weights."""
    torch.save(wrapped(load_file(folder / WEIGHTS)), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def made(tmp_path, tiny_models, kind):
    """Return a folder of a model, and the model as transformers loads it: ELECTRA's hidden states are transformers'."""
    if kind == "bert":
        folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    else:
        small = {"vocab_size": len(bert_vocabulary())}
        config, own = {
            "electra": (transformers.ElectraConfig(**_small(), embedding_size=16, **small), "ElectraForPreTraining"),
            "gpt2": (transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, **small), "GPT2LMHeadModel"),
            "qwen2": (transformers.Qwen2Config(**_small(), num_key_value_heads=4, **small), "Qwen2ForCausalLM"),
        }[kind]
        folder = with_vocabulary(save(getattr(transformers, own), config, tmp_path / "model", 0), tiny_models)
    return folder, transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)


def assert_read(folder, model, tmp_path):
    """Assert hidden states to 1e-5, static rows bit for bit, and the plan's own tensor, where it names one."""
    ids, layers = [6, 15, 40], [0, 1, 2]
    found, plan = states(folder, ids, layers)
    np.testing.assert_allclose(found, reference(model, plan, ids, layers), atol=1e-5)
    store = tmp_path / "s.kotovec"
    build(plan, store, Resources(workers=0))
    static = model.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(Vectors(store).array(Space("static"))[:], static[plan.tokens.ids])


def wrap_names(tensors):
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


PREFIXES = ["module.", "_orig_mod.", "_fsdp_wrapped_module.", "model.", "net.", "module._orig_mod.", "model._orig_mod."]


@pytest.mark.parametrize("kind", ["bert", "electra", "gpt2", "qwen2"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_tensors_that_are_named_for_a_wrapper_are_read(tmp_path, tiny_models, prefix, kind):
    folder, model = made(tmp_path, tiny_models, kind)
    renamed(folder, lambda name: prefix + name)
    assert_read(folder, model, tmp_path)


@pytest.mark.parametrize(
    "name_of",
    [
        lambda name: f"0.auto_model.{name}",
        lambda name: f"model.bert.{name}",
        lambda name: f"bert._orig_mod.{name}",
        lambda name: name.replace("encoder.layer.0.", "encoder.layer.0._orig_mod."),
        lambda name: name.replace("encoder.layer.1.", "encoder.layer.1._checkpoint_wrapped_module."),
    ],
)
def test_wrappers_within_a_name_and_around_a_model_with_a_head_are_read(tmp_path, tiny_models, name_of):
    folder, model = made(tmp_path, tiny_models, "bert")
    renamed(folder, name_of)
    assert_read(folder, model, tmp_path)


@pytest.mark.parametrize("kind", ["bert", "electra"])
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda tensors: {"state_dict": tensors},
        lambda tensors: {"epoch": 3, "step": torch.tensor(7), "model": tensors, "optimizer": adam(tensors)},
        lambda tensors: {"rng": {"cpu": torch.zeros(3, dtype=torch.uint8)}, "model_state_dict": wrap_names(tensors)},
        lambda tensors: {"hyper_parameters": {"lr": 1e-3}, "state_dict": {f"model.{k}": v for k, v in tensors.items()}},
        wrap_names,
    ],
    ids=["alone", "optimizer", "random", "lightning", "flat"],
)
def test_a_state_dict_inside_of_another_is_read(tmp_path, tiny_models, wrapped, kind):
    folder, model = made(tmp_path, tiny_models, kind)
    as_pickle(folder, wrapped)
    assert_read(folder, model, tmp_path)


def adam(tensors):
    """Return the state of an optimizer after one step: tensors by name inside of numbers."""
    parameters = [torch.nn.Parameter(tensor.clone()) for tensor in tensors.values() if tensor.is_floating_point()]
    optimizer = torch.optim.AdamW(parameters)
    sum(parameter.sum() for parameter in parameters).backward()
    optimizer.step()
    return optimizer.state_dict()


def test_a_wrapper_is_told_from_the_names_of_all_parts(tmp_path, tiny_models):
    folder = Path(shutil.copytree(tiny_models["bert-sharded"], tmp_path / "model"))
    model = transformers.AutoModel.from_pretrained(folder)
    index = json.loads((folder / f"{WEIGHTS}.index.json").read_text())
    index["weight_map"] = {f"module.{name}": part for name, part in index["weight_map"].items()}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    for path in folder.glob("*.safetensors"):
        save_file(wrap_names(load_file(path)), path, {"format": "pt"})
    assert_read(folder, model, tmp_path)


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_names_that_are_wrapped_only_in_part_are_refused(tmp_path, tiny_models, kind):
    folder, _ = made(tmp_path, tiny_models, kind)
    renamed(folder, lambda name: name if "embeddings" in name else f"module.{name}")
    message, hint = refusal(folder, plan_of)
    assert message.startswith("the tensors of F are named for a wrapper of the model, `module` (module.")
    assert hint == "save the model inside it, or the tensors without `module.` in their names"


def test_names_that_are_equal_without_their_wrapper_are_refused(folder):
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {f"_orig_mod.{name}": each * 2 for name, each in tensors.items()}, folder / WEIGHTS)
    message, _ = refusal(folder, plan_of)
    assert message.startswith("the tensors of F are named for a wrapper of the model, `_orig_mod` (")


def test_tensors_behind_another_prefix_are_refused_with_a_step_that_mends_it(folder, tmp_path):
    model = transformers.AutoModel.from_pretrained(folder)
    renamed(folder, lambda name: f"my.{name}")
    message, hint = refusal(folder, lambda name: states(name, [6], [2]))
    assert message == (
        "the weights of F lack 37 of the model's parameters (embeddings.LayerNorm.bias, …), and hold them under other "
        "names (my.embeddings.LayerNorm.bias)"
    )
    assert hint == "save the tensors without `my.` in their names"
    renamed(folder, lambda name: name.removeprefix("my."))
    assert_read(folder, model, tmp_path)


@pytest.mark.parametrize(
    ("wrapped", "message", "hint"),
    [
        (
            lambda tensors: {"model": tensors, "ema": tensors},
            "holds 2 state dicts (model, ema)",
            "save one of them alone in its place",
        ),
        (lambda tensors: list(tensors.values()), "holds a list, not tensors by name", ALONE),
        (lambda tensors: {"epoch": list(range(30_000)), "n": len(tensors)}, "holds no tensors by name", ALONE),
        (lambda tensors: {"a": {"state_dict": tensors}}, "holds no tensors by name", ALONE),
    ],
)
def test_a_file_without_one_state_dict_is_refused_with_a_step_that_mends_it(folder, tmp_path, wrapped, message, hint):
    model = transformers.AutoModel.from_pretrained(folder)
    tensors = load_file(folder / WEIGHTS)
    as_pickle(folder, wrapped)
    assert refusal(folder, plan_of) == (f"F/pytorch_model.bin {message}", hint)
    torch.save(tensors, folder / "pytorch_model.bin")
    assert_read(folder, model, tmp_path)


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
        forward.auto.load_model(resolve(str(folder)), [])


# ---- encoders alone, tied matrices, layers of two widths


def with_vocabulary(folder, tiny_models):
    for path in tiny_models["bert"].glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("kind", ["T5", "MT5", "UMT5", "LongT5"])
def test_an_encoder_alone_is_read(tmp_path, tiny_models, kind, said):
    """sentence-t5 and gtr are T5EncoderModel, whose config.json still says is_encoder_decoder."""
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(bert_vocabulary()),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=3,
        num_decoder_layers=1,
        num_heads=4,
        is_encoder_decoder=True,
    )
    own = getattr(transformers, f"{kind}EncoderModel")
    folder = with_vocabulary(save(own, config, tmp_path / "model", 0), tiny_models)
    change(folder / "config.json", is_encoder_decoder=said)
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
    assert refusal(folder, plan_of) == (
        "F is an encoder-decoder (t5)",
        "choose an encoder such as BERT, or build tables alone: --spaces static,output",
    )


@pytest.mark.parametrize("tied", [True, False])
def test_a_matrix_that_is_saved_as_the_output_it_is_tied_to_is_read(tmp_path, tiny_models, tied):
    config = transformers.LlamaConfig(**_small(), vocab_size=len(bert_vocabulary()), tie_word_embeddings=True)
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


def test_an_output_that_is_not_tied_is_no_input_whatever_the_class_says(tmp_path, tiny_models):
    """transformers 5 ties T5's matrices also where config.json says that they are not (transformers#48154)."""
    config = transformers.T5Config(vocab_size=397, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    folder = with_vocabulary(save(transformers.T5EncoderModel, config, tmp_path / "model", 0), tiny_models)
    change(folder / "config.json", tie_word_embeddings=False)
    renamed(folder, lambda name: "lm_head.weight" if name == "shared.weight" else name)
    message, _ = refusal(folder, lambda name: states(name, [6], [1]))
    assert "of the model's parameters (encoder.embed_tokens.weight" in message


def test_layers_of_two_widths_are_told(tmp_path, tiny_models):
    """OPT-350m projects its last layer from 1024 dimensions to 512."""
    config = transformers.OPTConfig(
        vocab_size=len(bert_vocabulary()),
        hidden_size=32,
        word_embed_proj_dim=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=64,
    )
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


def test_a_model_that_wants_more_than_tokens_is_told(tmp_path, tiny_models):
    config = transformers.BrosConfig(**_small(), vocab_size=len(bert_vocabulary()))
    folder = with_vocabulary(save(transformers.BrosModel, config, tmp_path / "model", 0), tiny_models)
    assert refusal(folder, lambda name: states(name, [6], [2])) == (
        "F cannot compute tokens alone (You have to specify bbox)",
        "choose a text encoder",
    )


# ---- errors of transformers


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"model_type": "zzz"},
            f"{CONFIG}transformers does not know the model_type `zzz`",
            "update transformers, or choose another model",
        ),
        (
            {"model_type": None},
            f"{CONFIG}it names no model_type",
            'add the type, such as "model_type": "bert"',
        ),
        (
            {"hidden_act": "foo"},
            "F does not load: transformers knows no hidden_act 'foo', as its config.json says",
            CORRECT,
        ),
        (
            {"num_hidden_layers": {"a": 1}},
            f"{CONFIG}{INVALID.format('num_hidden_layers', 'int', 'dict')} (value: {{'a': 1}})",
            CORRECT,
        ),
        (
            {"layer_norm_eps": "x"},
            f"{CONFIG}{INVALID.format('layer_norm_eps', 'float', 'str')} (value: 'x')",
            CORRECT,
        ),
        ({"vocab_size": "397"}, "F/config.json claims vocab_size '397', which no model has", "write it without quotes"),
    ],
)
def test_a_config_that_transformers_refuses_says_why(folder, changes, message, hint):
    change(folder / "config.json", **changes)
    assert refusal(folder, plan_of) == (message, hint)


BASIC = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n王\n女\n"
JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}


@pytest.mark.parametrize(
    ("files", "config", "message", "hint"),
    [
        (
            {"vocab.txt": BASIC},
            JAPANESE | {"mecab_kwargs": {"mecab_dic": None}},
            rf"{TOKENIZER}MeCab does not start \(.*no such file or directory: \S+mecabrc\)",
            "name one of its dictionaries with --mecab-dic",
        ),
        (
            {"vocab.txt": BASIC},
            JAPANESE | {"word_tokenizer_type": "sudachi"},
            "the tokenizer of F needs sudachipy",
            "install it: pip install sudachipy",
        ),
        (
            {"spiece.model": "\n"},
            {"tokenizer_class": "AlbertTokenizer"},
            f"{TOKENIZER}spiece.model is damaged, or no model of SentencePiece",
            AGAIN,
        ),
        (
            {"spiece.model": "\n"},
            {"tokenizer_class": "DistilBertJapaneseTokenizer"},
            f"{TOKENIZER}it knows no class DistilBertJapaneseTokenizer for these files",
            "add the tokenizer.json that the model was trained with, or name its class as tokenizer_class",
        ),
        (
            {"vocab.txt": "a 1\n"},
            {"tokenizer_class": "PhobertTokenizer"},
            f"{TOKENIZER}bpe.codes is missing",
            "download it into F, too",
        ),
        (
            {"vocab.json": '{"a": 0}'},
            {"tokenizer_class": "RobertaTokenizer"},
            f"{TOKENIZER}merges.txt is missing",
            "download it into F, too",
        ),
        (
            {"vocab.json": '{"a": 0', "merges.txt": "a b\n"},
            {"tokenizer_class": "RobertaTokenizer"},
            f"{TOKENIZER}Error while initializing BPE: EOF while parsing an object at line 1 column 7",
            AGAIN,
        ),
        (
            {},
            {},
            "F has no tokenizer: neither tokenizer.json nor a vocab file is in F",
            "copy the tokenizer's files into it",
        ),
        (
            {"tokenizer/vocab.txt": BASIC},
            {},
            "F has no tokenizer: neither tokenizer.json nor a vocab file is in F",
            "copy the tokenizer's files into it from F/tokenizer",
        ),
        (
            {"../tokenizer/vocab.txt": BASIC},
            {},
            "F has no tokenizer: neither tokenizer.json nor a vocab file is in F",
            "copy the tokenizer's files into it from P/tokenizer",
        ),
    ],
)
def test_a_tokenizer_that_does_not_load_says_why(folder, files, config, message, hint):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        add(folder, name)
        (folder / name).write_text(content)
    found = refusal(folder, plan_of)
    assert re.fullmatch(message if "MeCab" in message else re.escape(message), found[0])
    assert found[1].replace(str(folder.parent), "P") == hint
