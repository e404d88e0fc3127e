"""Static vectors: the rows that transformers has as input embeddings, bit for bit, copied without a replica."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kotovec.cluster.build import Resources, build
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import ModelError, NonFiniteError, SettingsDifferError
from kotovec.space import STATIC
from kotovec.store import Store
from kotovec.store.shard import open_shard
from kotovec.workers import auto, table
from kotovec.workers.encoder import Encoder
from kotovec.workers.model import Model

from models import KINDS, bert_vocabulary, make_bert, make_bin, save
from rays import datasets, left_behind, plan_of, run_build, shard_files, static_of
from test_resume import begin, kill_at

INLINE = Resources(workers=0)
OTHERS = {
    "Electra": {"embedding_size": 16},
    "Albert": {"embedding_size": 16},
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "DebertaV2": {},
    "ModernBert": {},
    "Llama": {},
    "Gemma": {"num_key_value_heads": 4, "head_dim": 8},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "MPNet": {},
    "Longformer": {"attention_window": 4},
}


def of_transformers(folder):
    """Return transformers' own input embeddings, (rows, D) float32."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    return model.get_input_embeddings().weight.detach().numpy()


def other(kind, folder, beside, *, head=None):
    """Write a tiny model of another architecture, with BERT's tokenizer."""
    import transformers

    shutil.copytree(beside, folder)
    (folder / "model.safetensors").unlink()
    usual = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    own = OTHERS[kind]
    sizes = {"vocab_size": len(bert_vocabulary()), "pad_token_id": 0} | (
        own if kind in ("DistilBert", "XLNet") else usual | own
    )
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return save(getattr(transformers, f"{kind}{head or 'Model'}"), config, folder, seed=1)


def assert_same(plan, matrix, store):
    """The rows are bit for bit those of a matrix: read in blocks, and in a store that a build made."""
    rows = np.concatenate([block.copy() for block in table.read(plan.model, plan.table, plan.tokens.ids)])
    assert rows.dtype == np.float32
    assert rows.tobytes() == matrix[plan.tokens.ids].tobytes()
    build(plan, store, INLINE)
    assert Store.open(store).array("static").tobytes() == rows.tobytes()


@pytest.mark.parametrize("name", [*KINDS, "bert-sharded", "bert-bin", "bert-more-rows", "bert-more-tokens", "minilm"])
def test_the_static_vectors_are_transformers_input_embeddings_bit_for_bit(name, tiny_models, tmp_path, request):
    folder = request.getfixturevalue("minilm") if name == "minilm" else tiny_models[name]
    plan = make_plan(Request(model=str(folder), device="cpu"))
    assert plan.table.tensor is not None
    matrix = of_transformers(folder)
    rows = np.concatenate([block.copy() for block in table.read(plan.model, plan.table, plan.tokens.ids)])
    assert rows.tobytes() == matrix[plan.tokens.ids].tobytes()
    assert (plan.table.rows, plan.table.size) == matrix.shape
    if len(plan.tokens) < 1000:
        assert_same(plan, matrix, tmp_path / "x.kotovec")


@pytest.mark.parametrize("kind", OTHERS)
def test_those_of_other_architectures_too(kind, tiny_models, tmp_path):
    plan = plan_of(other(kind, tmp_path / "model", tiny_models["bert"]))
    assert plan.spec.architecture is None
    assert plan.settings["static"] == plan.table.tensor is not None
    assert_same(plan, of_transformers(plan.model.source.folder), tmp_path / "x.kotovec")


@pytest.mark.parametrize(
    ("kind", "head", "tensor"),
    [
        ("Llama", "ForCausalLM", "model.embed_tokens.weight"),
        ("DistilBert", "ForMaskedLM", "distilbert.embeddings.word_embeddings.weight"),
        ("ModernBert", "ForMaskedLM", "model.embeddings.tok_embeddings.weight"),
    ],
)
def test_those_of_a_checkpoint_with_a_head_have_its_prefix(kind, head, tensor, tiny_models, tmp_path):
    plan = plan_of(other(kind, tmp_path / "model", tiny_models["bert"], head=head))
    assert plan.table.tensor == tensor
    assert_same(plan, of_transformers(plan.model.source.folder), tmp_path / "x.kotovec")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_other_numbers_become_float32_as_transformers_makes_them(dtype, file, kind, tiny_models, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_models[kind], tmp_path / "model")
    tensors = {
        name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(folder / "model.safetensors").items()
    }
    (folder / "model.safetensors").unlink()
    if file.endswith(".bin"):
        torch.save(tensors, folder / file)
    else:
        save_file(tensors, folder / file, metadata={"format": "pt"})
    plan = plan_of(folder)
    assert plan.table.tensor is not None
    assert_same(plan, of_transformers(folder), tmp_path / "x.kotovec")


def test_the_blocks_are_small_and_together_the_rows_in_order(tiny_models, monkeypatch):
    plan = plan_of(tiny_models["bert-sharded"], token_filter=("word", "special"))
    monkeypatch.setattr(table, "BLOCK_BYTES", 10 * 32 * 4)
    blocks = [block.copy() for block in table.read(plan.model, plan.table, plan.tokens.ids)]
    assert {len(block) for block in blocks[:-1]} == {10}
    np.testing.assert_array_equal(np.concatenate(blocks), of_transformers(plan.model.source.folder)[plan.tokens.ids])


@pytest.mark.parametrize("reason", ["two names", "quantised"])
def test_where_names_do_not_tell_the_plan_says_that_transformers_reads_them(reason, tiny_models, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_models["gpt2"], tmp_path / "model")
    if reason == "two names":
        tensors = load_file(folder / "model.safetensors")
        tensors["transformer.wte.weight"] = tensors["wte.weight"].clone()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    plan = plan_of(folder)
    if reason == "quantised":
        assert plan.spec.tensor == "wte.weight"
        model = Model.read(plan.model.source)
        model.pretrained_config.quantization_config = {"quant_method": "gptq"}
        assert table.find(model, None).tensor is None
        return
    assert plan.table.tensor is None
    assert plan.settings["static"] == plan.table.origin == auto.forward_name()
    assert_same(plan, of_transformers(folder), tmp_path / "x.kotovec")


def test_a_replica_refuses_a_tensor_of_which_transformers_makes_another_matrix(tiny_models):
    from dataclasses import replace

    plan = plan_of(tiny_models["gpt2"])
    Encoder(plan.spec).load()
    with pytest.raises(ModelError, match="transformers changes wpe.weight as it loads .* are not that tensor's rows"):
        Encoder(replace(plan.spec, tensor="wpe.weight")).load()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_table_with_other_rows_than_the_config_says_is_refused_by_the_plan(kind, tiny_models, tmp_path):
    folder = Path(shutil.copytree(tiny_models[kind], tmp_path / "model"))
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    rows = config["vocab_size"]
    path.write_text(json.dumps(config | {"vocab_size": rows + 3}), encoding="utf-8")
    message = f"has {rows} embedding rows, its config.json says {rows + 3}" if kind == "bert" else "hold wte.weight as"
    with pytest.raises(ModelError, match=message):
        Encoder(plan_of(folder).spec).load()


def test_nan_in_the_table_names_the_token(employ, tiny_models, tmp_path):
    """Workers would stumble over it first: these give vectors of their own."""
    from safetensors.torch import load_file, save_file

    folder = make_bert(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    row = bert_vocabulary().index("queen")
    weights["embeddings.word_embeddings.weight"][row, 3] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    plan, store = plan_of(folder), tmp_path / "x.kotovec"
    for _ in range(2):  # shards are kept, and the error comes again
        with pytest.raises(NonFiniteError, match=rf"gave NaN or Inf for 'queen' \(id {row}\): its weights are damaged"):
            run_build(plan, store)
        assert len(shard_files(store)) == len(plan.shards)
        assert not (store / "spaces").exists() or [*(store / "spaces").iterdir()] == []


@pytest.mark.parametrize("spaces", ["static,isolated", "static"])
def test_nan_in_a_row_without_a_token_is_refused_by_its_number(spaces, employ, tmp_path):
    """A build with a forward pass wrote it beside the tokens' rows, and only one of tables alone refused it."""
    from safetensors.torch import load_file, save_file

    vocabulary, store = bert_vocabulary(), tmp_path / "x.kotovec"
    folder = make_bert(tmp_path / "model", vocab_size=len(vocabulary) + 3)
    weights, name = load_file(folder / "model.safetensors"), "embeddings.word_embeddings.weight"
    healthy = weights[name].clone()
    weights[name][len(vocabulary) + 1, 3] = float("inf")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    plan = make_plan(Request(model=str(folder), device="cpu", spaces=spaces))
    for _ in range(2):  # shards are kept, and the error comes again
        with pytest.raises(
            NonFiniteError, match=rf"^{name} of .* holds NaN or Inf in the row #{len(vocabulary) + 1}\nhint: download"
        ):
            run_build(plan, store)
        assert len(shard_files(store)) == len(plan.shards)
        assert not (store / "spaces").exists() or [*(store / "spaces").iterdir()] == []
    save_file(weights | {name: healthy}, folder / "model.safetensors", metadata={"format": "pt"})
    run_build(make_plan(Request(model=str(folder), device="cpu", spaces=spaces)), tmp_path / "y.kotovec")
    with Store.open(tmp_path / "y.kotovec") as opened:
        row = opened.vector(f"#{len(vocabulary) + 1}", "static")
        np.testing.assert_array_equal(row, healthy[len(vocabulary) + 1].numpy().astype(np.float64))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_files_that_changed_since_the_plan_are_not_copied_from(name, employ, tiny_models, tmp_path):
    folder, store = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model")), tmp_path / "x.kotovec"
    plan = plan_of(folder)
    begin(plan, store, len(plan.shards))
    raw = bytearray((folder / name).read_bytes())
    raw[-2] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(
        ModelError, match="model has changed since this build was planned\nhint: run the same command again"
    ):
        run_build(plan, store)
    assert not (store / "spaces").exists() or [*(store / "spaces").iterdir()] == []
    shutil.copy(tiny_models["bert"] / name, folder / name)
    summary, _ = run_build(plan, store)
    assert (summary.encoded, left_behind(store)) == (0, [])
    np.testing.assert_array_equal(Store.open(store).array("static"), static_of(plan))


def test_a_shard_holds_hidden_states_alone(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"], layers="0,2"), tmp_path / "x.kotovec"
    begin(plan, store, 2)
    assert [str(space) for space in plan.encoded] == ["isolated@0", "isolated@2"]
    assert [str(space) for space in plan.added] == ["static", "isolated@0", "isolated@2"]
    with open_shard(store / "shards", 0, plan.fingerprint) as shard:
        assert sorted(shard._file) == ["ids", "isolated-0", "isolated-2"]
        assert shard.read("isolated-2").nbytes * 2 == plan.shard_bytes(64)


def test_a_missing_table_is_copied_again_without_any_worker(employ, tiny_models, tmp_path):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    run_build(plan, store)
    before = datasets(store)
    (store / "spaces" / "static.h5").unlink()
    employ(None)
    summary, listener = run_build(plan, store)
    assert (summary.encoded, listener.progress) == (0, [])
    assert (datasets(store), left_behind(store)) == (before, [])
    assert Store.open(store).vectors.made(STATIC)["tensor"] == "embeddings.word_embeddings.weight"


def test_more_layers_leave_the_table_as_it_is(employ, tiny_models, tmp_path):
    store = tmp_path / "x.kotovec"
    run_build(plan_of(tiny_models["bert"]), store)
    before = (store / "spaces" / "static.h5").stat()
    run_build(plan_of(tiny_models["bert"], layers="all"), store)
    after = (store / "spaces" / "static.h5").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_killed_between_the_table_and_the_merge_it_ends_with_the_same_bytes(employ, tiny_models, tmp_path):
    plan = plan_of(tiny_models["bert"])
    store, whole = tmp_path / "copied" / "x.kotovec", tmp_path / "whole.kotovec"
    begin(plan, store, len(plan.shards))
    kill_at(("copied",), tmp_path, plan)
    assert [path.name for path in (store / "spaces").iterdir()] == ["static.h5"]
    copied = (store / "spaces" / "static.h5").stat().st_ino
    run_build(plan, whole)
    assert run_build(plan, store)[0].encoded == 0
    assert (store / "spaces" / "static.h5").stat().st_ino == copied
    assert (datasets(store), left_behind(store)) == (datasets(whole), [])


def test_a_build_that_an_earlier_version_began_is_refused_by_name(employ, tiny_models, tmp_path):
    from dataclasses import replace

    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    older = {name: value for name, value in plan.settings.items() if name != "static"}
    begin(replace(plan, settings=older), store, 2)
    with pytest.raises(SettingsDifferError, match=r"the static vectors .* were part of the shards, as in an earlier"):
        run_build(plan, store)
    summary, _ = run_build(plan, store, overwrite=True)
    assert summary.encoded == len(plan.tokens)


def test_a_hostile_bin_is_not_run_by_the_copy(tmp_path):
    """`weights_only`, also for a model that transformers computes."""
    import pickle

    folder, trap = make_bin(tmp_path / "model"), tmp_path / "executed"
    plan = plan_of(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({plan.table.tensor: _Payload(trap)}, protocol=2))
    with pytest.raises(ModelError, match="do not load"):
        next(table.read(plan.model, plan.table, plan.tokens.ids))
    assert not trap.exists()


class _Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "executed"))
