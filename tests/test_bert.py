"""kotovec's own forward pass of BERT: which models take it, what it loads, and that transformers stays away."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import ModelError, WorkerError
from kotovec.workers import forward
from kotovec.workers.auto import Auto
from kotovec.workers.bert import FORWARD, Bert
from kotovec.workers.encoder import Encoder
from kotovec.workers.source import Source
from kotovec.workers.tensors import read_headers, read_tensors, without_head
from kotovec.workers.tokenizer import Template

from models import make_bert
from test_encoder import TEMPLATES, encode, isolated, reference, relative_errors

ROOT = Path(__file__).parents[1]


def loaded(folder, **options):
    """Return an encoder that has loaded a model as a build would."""
    encoder = Encoder(make_plan(Request(model=str(folder), **options)).spec)
    encoder.load()
    return encoder


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bert", Bert),
        ("bert-sharded", Bert),
        ("bert-bin", Bert),
        ("roberta", Bert),
        ("xlmr", Bert),
        ("japanese-v1", Bert),
        ("japanese-v3", Bert),
        ("gpt2", Auto),
    ],
)
def test_models_of_berts_kind_take_it_and_others_go_by_transformers(name, kind, tiny_models):
    encoder = loaded(tiny_models[name])
    assert type(encoder._model) is kind
    forward = make_plan(Request(model=str(tiny_models[name]))).settings["forward"]
    assert forward.startswith("kotovec BERT" if kind is Bert else "transformers ")


@pytest.mark.parametrize(
    ("activation", "kind"), [("gelu_new", Bert), ("gelu_pytorch_tanh", Bert), ("relu", Auto), ("silu", Auto)]
)
def test_the_activation_is_the_configs(activation, kind, tmp_path):
    folder = edit(make_bert(tmp_path / "model"), hidden_act=activation)
    assert type(loaded(folder)._model) is kind
    ids = np.arange(5, 60)
    states, _ = reference(folder, ids, TEMPLATES["bert"])
    assert relative_errors(encode(folder, ids, layers="all").isolated, states).max() <= 1e-5


@pytest.mark.parametrize("zipped", [True, False])
def test_an_old_checkpoint_with_tensorflows_names_is_read(zipped, tmp_path):
    """As the article's model, of 2019: a pickle of before torch 1.6, gamma and beta, and a head on top."""
    from safetensors.torch import load_file

    folder = make_bert(tmp_path / "model")
    expected = encode(folder, layers="all")
    tensors = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    assert sum(name.endswith("gamma") for name in tensors) == 5
    (folder / "model.safetensors").unlink()
    torch.save(
        tensors | {"cls.predictions.bias": torch.zeros(3)},
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=zipped,
    )
    encoder = loaded(folder, layers="all")
    assert type(encoder._model) is Bert
    found = encode(folder, layers="all")
    np.testing.assert_array_equal(found.isolated, expected.isolated)
    np.testing.assert_array_equal(found.static, expected.static)


def test_what_a_checkpoint_lacks_is_said_in_a_line(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_bert(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    odd = {("other." if "layer.1" in name else "") + name: tensor for name, tensor in tensors.items()}
    save_file(odd, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 16 of the model's parameters \(encoder\.layer\.1\."):
        loaded(folder)


def file_at(address):
    """Return what lies at an address: its line in /proc."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii").splitlines():
        start, stop = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < stop:
            return line
    pytest.fail("the weights are nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["bert", "bert-bin"])
def test_weights_are_mapped_not_copied_so_that_workers_share_them(name, tiny_models):
    encoder = loaded(tiny_models[name])
    assert file_at(encoder._model._layers[0].intermediate._weights[0].data_ptr()).endswith(
        ("model.safetensors", "pytorch_model.bin")
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_so_are_half_precision_weights_that_are_computed_with_as_they_are(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_bert(tmp_path / "model")
    half = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    assert file_at(loaded(folder, dtype="float16")._model._layers[0].intermediate._weights[0].data_ptr()).endswith(
        "model.safetensors"
    )


def test_a_worker_imports_torch_but_not_transformers(tiny_models):
    code = f"""
import pickle, sys
encoder = pickle.loads({_pickled(tiny_models["bert"])!r})
import numpy as np
encoder.load()
from kotovec.workers.inputs import Inputs
encoder.encode(0, Inputs.isolated(np.array([5, 6]), encoder.spec.template))
assert "torch" in sys.modules
assert not {{"transformers", "tokenizers", "h5py", "faiss"}} & sys.modules.keys(), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def _pickled(folder):
    return pickle.dumps(Encoder(make_plan(Request(model=str(folder))).spec))


@pytest.mark.parametrize(("prefix", "suffix"), [((), ()), ((3,), ()), ((), (4,)), ((3, 3), (4, 4)), ((3, 0), (4,))])
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_any_template_in_batches_of_any_size(name, prefix, suffix, tiny_models):
    """Against transformers' own loading, in numbers that its buffers grow and shrink with."""
    from transformers import AutoModel

    spec = replace(
        make_plan(Request(model=str(tiny_models[name]), layers="all")).spec, template=Template(prefix, suffix)
    )
    encoder = Encoder(spec)
    ids = np.random.default_rng(3).integers(0, 200, 60)
    parts = [ids[0:2], ids[2:40], ids[40:43], ids[43:60]]
    found = np.concatenate([isolated(encoder, part).isolated for part in parts], axis=1)
    assert type(encoder._model) is Bert
    model = AutoModel.from_pretrained(tiny_models[name], dtype=torch.float32).eval()
    with torch.inference_mode():
        for row, token_id in enumerate(ids.tolist()):
            sequence = torch.tensor([[*prefix, token_id, *suffix]])
            output = model(sequence, attention_mask=torch.ones_like(sequence), output_hidden_states=True)
            states = torch.stack([state[0, len(prefix)] for state in output.hidden_states]).numpy()
            assert relative_errors(found[:, row], states).max() <= 1e-5


def test_a_layer_no_wider_inside_than_outside(tmp_path):
    """Its products have the same width: none may lie where another still is read."""
    folder = make_bert(tmp_path / "model", intermediate_size=32)
    ids = np.arange(5, 60)
    states, _ = reference(folder, ids, TEMPLATES["bert"])
    assert states.shape[-1] == 32
    assert relative_errors(encode(folder, ids, layers="all").isolated, states).max() <= 1e-5


def test_the_embeddings_output_alone_takes_it_too(tiny_models):
    assert type(loaded(tiny_models["bert"], layers="0")._model) is Bert
    ids = np.arange(5, 60)
    states, _ = reference(tiny_models["bert"], ids, TEMPLATES["bert"])
    assert relative_errors(encode(tiny_models["bert"], ids, layers="0").isolated, states[:1]).max() <= 1e-5


@pytest.mark.parametrize("size", [97, 98, 99, 100])
def test_a_tokens_bits_do_not_depend_on_its_batch(size, tiny_models):
    spec = make_plan(Request(model=str(tiny_models["bert"]), layers="all")).spec
    encoder = Encoder(replace(spec, positions=3 * size))
    ids = np.arange(5, 5 + size)
    whole = isolated(encoder, ids).isolated
    np.testing.assert_array_equal(isolated(encoder, ids[::-1]).isolated[:, ::-1], whole)
    for cut in (1, 2, 17, size - 1):
        parts = [isolated(encoder, part).isolated for part in (ids[:cut], ids[cut:])]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_embeddings_of_half_precision_are_computed_with_exactly(dtype, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_bert(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    half = {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    model = loaded(folder)._model
    np.testing.assert_array_equal(model._words.numpy(), half["embeddings.word_embeddings.weight"].float().numpy())


def test_memory_that_is_short_for_a_moment_is_no_reason_to_compute_otherwise(monkeypatch, tiny_models):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(forward, "read_tensors", fail)
    with pytest.raises(MemoryError):
        loaded(tiny_models["bert"])

    def fail_as_torch_does(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(forward, "read_tensors", fail_as_torch_does)
    with pytest.raises(MemoryError):
        loaded(tiny_models["bert"])


def test_two_tensors_of_one_name_go_by_transformers(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_bert(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    twice = tensors | {f"bert.{name}": tensor.clone() for name, tensor in tensors.items()}
    save_file(twice, folder / "model.safetensors", metadata={"format": "pt"})
    plan = make_plan(Request(model=str(folder)))
    assert plan.spec.architecture is None
    assert plan.spec.forward == plan.settings["forward"] == f"transformers {transformers.__version__}, AutoModel"
    assert type(loaded(folder)._model) is Auto


@pytest.mark.parametrize("name", ["bert", "bert-sharded", "bert-bin", "legacy"])
def test_shapes_are_read_without_the_weights(name, tiny_models, tmp_path):
    """Of a pickled file, too, and of one from before torch 1.6, whose tensors cannot be mapped."""
    folder = tiny_models["bert-bin" if name == "legacy" else name]
    tensors = read_tensors(Source("x", folder).weights(), "bert.")
    if name == "legacy":
        folder = tmp_path
        torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    shapes = {
        name: header.shape
        for name, header in without_head(read_headers(Source("x", folder).weights()), "bert.").items()
    }
    assert shapes == {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    assert shapes["encoder.layer.1.intermediate.dense.weight"] == (64, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 64}, r"embeddings\.word_embeddings\.weight is \(397, 32\), by config\.json \(397, 64\)"),
        ({"inner": 65}, r"encoder\.layer\.0\.intermediate\.dense\.weight is \(64, 32\), by config\.json \(65, 32\)"),
        ({"depth": 3}, r"encoder\.layer\.2\.attention\.self\.query\.weight is not there, by config\.json \(32, 32\)"),
    ],
)
def test_a_worker_that_cannot_do_what_was_planned_says_so(change, message, tiny_models):
    spec = make_plan(Request(model=str(tiny_models["bert"]))).spec
    encoder = Encoder(replace(spec, architecture=replace(spec.architecture, **change)))
    with pytest.raises(ModelError, match=rf"not those that were planned with: {message}$"):
        encoder.load()


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_worker_with_other_code_than_planned_says_so(name, tiny_models):
    spec = make_plan(Request(model=str(tiny_models[name]))).spec
    here = spec.forward
    with pytest.raises(
        WorkerError,
        match=rf"^this machine computes by '{here}', the plan by 'kotovec BERT 0'\nhint: install the same versions of",
    ):
        Encoder(replace(spec, forward="kotovec BERT 0")).load()


def test_a_shard_says_what_computed_it(tiny_models):
    assert encode(tiny_models["bert"]).forward == FORWARD
    assert encode(tiny_models["gpt2"]).forward == f"transformers {transformers.__version__}, AutoModel"
