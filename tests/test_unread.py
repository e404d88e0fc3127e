"""The whole checkpoint, or a refusal: every tensor is read, of a head, or named; nothing beside the weights counts."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from kotovec.errors import ModelError
from kotovec.workers import auto
from kotovec.workers.encoder import Encoder

from models import _small, make_bert, make_bin, make_gpt2, save
from rays import plan_of

WORDS = "embeddings.word_embeddings.weight"


def change(folder, tensors=None, **config):
    """Add or replace tensors and settings; a function makes a tensor of the old one."""
    weights, settings = folder / "model.safetensors", folder / "config.json"
    content = load_file(weights)
    for name, tensor in (tensors or {}).items():
        content[name] = tensor(content[name]) if callable(tensor) else tensor
    save_file(content, weights, {"format": "pt"})
    settings.write_text(json.dumps(json.loads(settings.read_text()) | config))
    return folder


def make_other(folder, name, **config):
    """Write another architecture with a head, and the tokenizer of `make_bert`."""
    import transformers

    make_bert(folder)
    config = getattr(transformers, f"{name.split('For')[0]}Config")(**(_small() | {"vocab_size": 397} | config))
    return save(getattr(transformers, name), config, folder, 0)


def distances(seed):
    generator = torch.Generator().manual_seed(seed)
    names = (f"encoder.layer.{layer}.attention.self.distance_embedding.weight" for layer in (0, 1))
    return {name: torch.randn(131, 8, generator=generator) for name in names}


UNREAD = "which the model of its config.json does not read: the vectors would be another model's"


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        (distances(1), {"position_embedding_type": "relative_key"}, "says position_embedding_type 'relative_key'"),
        (distances(1), {}, "hold encoder.layer.0.attention.self.distance_embedding.weight and 1 more, " + UNREAD),
        ({}, {"position_embedding_type": "alibi"}, "says position_embedding_type 'alibi', which transformers' bert"),
        ({}, {"alibi_starting_size": 512}, "says alibi_starting_size 512, which transformers' bert does not follow"),
        ({}, {"num_hidden_layers": 1}, "hold encoder.layer.1.attention.output.LayerNorm.bias and 15 more, " + UNREAD),
        (
            {"encoder.layer.0.attention.self.query.lora_A.weight": torch.ones(2, 32)},
            {},
            "query.lora_A.weight, " + UNREAD,
        ),
        ({"gate.weight": torch.ones(2)}, {}, "hold gate.weight, " + UNREAD),
        ({WORDS: lambda words: (words * 100).to(torch.int8)}, {}, rf"are quantised \({WORDS} is I8\)"),
        ({WORDS: lambda words: words.to(torch.float8_e4m3fn)}, {}, rf"are quantised \({WORDS} is F8_E4M3\)"),
        ({}, {"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"is quantised \(gptq\)"),
    ],
)
def test_a_checkpoint_of_which_a_part_would_count_for_nothing_is_refused(tensors, config, message, tmp_path):
    folder = change(make_bert(tmp_path / "model"), tensors, **config)
    with pytest.raises(ModelError, match=message) as caught:
        plan_of(folder)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_looked_through_too(tmp_path):
    folder = make_bin(tmp_path / "model")
    content = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(content | distances(1), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="distance_embedding"):
        plan_of(folder)
    torch.save(content | {WORDS: content[WORDS].to(torch.int8)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="is int8"):
        plan_of(folder)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("last", [False, True])
def test_a_tensor_in_two_parts_of_the_weights_is_refused(kind, last, tmp_path):
    """transformers reads the one in the last part, whichever the index names."""
    folder = make_bert(tmp_path / "model", shard_size="40KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    home = next(part.name for part in parts[1:-1])
    name = min(name for name, part in index["weight_map"].items() if part == home)
    other = parts[-1 if last else 0]
    stale = load_file(folder / home)[name] + 1
    save_file(load_file(other) | {name: stale}, other, {"format": "pt"})
    if kind == "bin":
        for part in parts:
            torch.save(load_file(part), folder / f"{part.stem}.bin".replace("model", "pytorch_model"))
            part.unlink()
        (folder / "model.safetensors.index.json").unlink()
        renamed = {
            name: part.replace("model", "pytorch_model").replace("safetensors", "bin")
            for name, part in index["weight_map"].items()
        }
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index | {"weight_map": renamed}))
    with pytest.raises(ModelError, match=rf"hold {name} twice, in \S+ and in \S+") as caught:
        plan_of(folder)
    assert caught.value.hint == "download the model again"


@pytest.mark.parametrize(
    "tensors",
    [
        {"embeddings.position_ids": torch.arange(66)[None], "embeddings.token_type_ids": torch.zeros(1, 66).long()},
        {
            "cls.predictions.bias": torch.ones(3),
            "qa_outputs.weight": torch.ones(2, 32),
            "classifier.bias": torch.ones(2),
        },
    ],
)
def test_heads_and_counters_are_known(tensors, tmp_path):
    plan = plan_of(change(make_bert(tmp_path / "model"), tensors))
    assert plan.notices == ()
    assert plan.spec.architecture is not None


def test_outside_the_encoder_of_a_checkpoint_with_a_head_all_is_of_the_head(tmp_path):
    folder = change(make_other(tmp_path / "model", "BertForMaskedLM"), {"mine.weight": torch.ones(2)})
    assert plan_of(folder).spec.architecture is not None
    change(folder, {"bert.encoder.layer.7.output.dense.weight": torch.ones(32, 64)})
    with pytest.raises(ModelError, match=r"hold bert\.encoder\.layer\.7\.output\.dense\.weight, which"):
        plan_of(folder)


DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}


@pytest.mark.parametrize(
    ("name", "config", "tensor"),
    [
        ("ElectraForPreTraining", {"embedding_size": 16}, "electra.encoder.layer.7.output.dense.weight"),
        ("AlbertForMaskedLM", {"embedding_size": 16}, "albert.encoder.lora_A.weight"),
        ("DistilBertForMaskedLM", DISTIL, "distilbert.transformer.layer.0.gate.weight"),
    ],
)
def test_what_transformers_leaves_out_of_an_encoder_is_named(name, config, tensor, tmp_path):
    """The heads load without a word, a tensor of the encoder that its class does not have is refused."""
    folder = make_other(tmp_path / "model", name, **config)
    Encoder(plan_of(folder).spec).load()
    change(folder, {tensor: torch.ones(2)})
    with pytest.raises(ModelError, match=f"hold {tensor}, {UNREAD}"):
        Encoder(plan_of(folder).spec).load()


def test_the_masks_that_old_decoders_store_are_known(tmp_path):
    masks = {"h.0.attn.bias": torch.ones(1, 1, 64, 64).bool(), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    Encoder(plan_of(change(make_gpt2(tmp_path / "model"), masks)).spec).load()


def test_a_package_that_takes_over_a_computation_is_a_part_of_the_code_s_name(monkeypatch):
    from importlib import metadata

    before, version = auto.forward_name(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.9" if name == "apex" else version(name))
    assert auto.forward_name() == f"{before}, apex 0.9"
