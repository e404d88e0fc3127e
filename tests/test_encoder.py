"""The encoder against transformers' own forward pass, one token at a time, and the models that it refuses."""

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import InputError, ModelError
from kotovec.workers import table
from kotovec.workers.encoder import Encoder
from kotovec.workers.inputs import Inputs

from models import KINDS, bert_vocabulary, make_bert, make_bin, save

# The texts around a token, as each model's paper has them; the ids are looked up in the vocabulary below.
TEMPLATES = {
    "minilm": ("[CLS]", "[SEP]"),
    "bert": ("[CLS]", "[SEP]"),
    "roberta": ("<s>", "</s>"),
    "xlmr": ("<s>", "</s>"),
    "gpt2": ("<|endoftext|>",),
    "japanese-v1": ("[CLS]", "[SEP]"),
    "japanese-v3": ("[CLS]", "[SEP]"),
}


def reference(folder, ids, around):
    """Return (L + 1, n, D) float32: a plain loop of transformers' forward, the token at its own place."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    frame = tokenizer.convert_tokens_to_ids(list(around))
    prefix, suffix = frame[:1], frame[1:]
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors = []
    with torch.inference_mode():
        for token_id in ids.tolist():
            sequence = torch.tensor([[*prefix, token_id, *suffix]])
            output = model(sequence, attention_mask=torch.ones_like(sequence), output_hidden_states=True)
            states = [*output.hidden_states[:-1], output.last_hidden_state]
            vectors.append(torch.stack([state[0, len(prefix)] for state in states]))
    return torch.stack(vectors, dim=1).numpy(), model.get_input_embeddings().weight.detach().numpy()


def encode(folder, ids=None, **options):
    """Encode some tokens (all of them when none are given) as a build would."""
    plan = make_plan(Request(model=str(folder), **options))
    ids = plan.tokens.ids if ids is None else ids
    result = isolated(Encoder(plan.spec), ids)
    result.static = static_of(plan, ids)
    return result


def static_of(plan, ids):
    """Return the rows of the input embedding matrix, (n, D), as a build copies them."""
    return np.concatenate([block.copy() for block in table.read(plan.model, plan.table, ids)])


def isolated(encoder, ids, number=0):
    """Encode tokens alone in the template; `isolated` is (L, n, D)."""
    result = encoder.encode(number, Inputs.isolated(ids, encoder.spec.template))
    assert list(result.arrays) == list(encoder.spec.spaces)
    layers = np.stack([result.arrays[name] for name in encoder.spec.spaces])
    return SimpleNamespace(number=result.number, isolated=layers, forward=result.forward)


def sample(plan, count):
    """Return `count` seeded token ids, and every special and empty token, in a shuffled order."""
    rng = np.random.default_rng(20240501)
    odd = np.isin(plan.tokens.kinds, [2, 5])  # special, empty
    chosen = np.union1d(rng.choice(plan.tokens.ids, min(count, len(plan.tokens)), replace=False), plan.tokens.ids[odd])
    return rng.permutation(chosen)


def relative_errors(vectors, expected):
    difference = np.linalg.norm(vectors.astype(np.float64) - expected, axis=-1)
    return difference / np.linalg.norm(expected.astype(np.float64), axis=-1)


@pytest.mark.parametrize(("name", "count"), [("minilm", 520), *((kind, 150) for kind in KINDS)])
def test_every_layer_equals_transformers_forward_one_token_at_a_time(name, count, tiny_models, request):
    folder = request.getfixturevalue("minilm") if name == "minilm" else tiny_models[name]
    plan = make_plan(Request(model=str(folder), layers="all"))
    ids = sample(plan, count)
    assert len(ids) >= min(count, len(plan.tokens))
    assert name == "gpt2" or plan.tokenizer.pad_token_id in ids
    result = isolated(Encoder(plan.spec), ids, number=7)
    states, matrix = reference(folder, ids, TEMPLATES[name])
    assert result.number == 7
    assert result.isolated.shape == states.shape == (plan.spec.depth + 1, len(ids), plan.size)
    static = static_of(plan, ids)
    assert result.isolated.dtype == static.dtype == np.float32
    assert relative_errors(result.isolated, states).max() <= 1e-5
    np.testing.assert_array_equal(static, matrix[ids])


def test_a_decoder_without_the_token_of_the_beginning_sees_each_token_alone(tiny_models):
    ids = np.arange(40)
    states, _ = reference(tiny_models["gpt2"], ids, ())
    bare = encode(tiny_models["gpt2"], ids, layers="all", bos=False)
    assert relative_errors(bare.isolated, states).max() <= 1e-5
    begun = encode(tiny_models["gpt2"], ids, layers="all")
    assert relative_errors(begun.isolated, states).max() > 0.1


def test_where_no_token_would_be_put_before_the_others_no_bos_says_that_it_changes_nothing(tiny_models):
    idle = "--no-bos changes nothing here: it is for decoders whose own template begins with no token"
    for name, expected in (("gpt2", False), ("bert", True)):
        plan = make_plan(Request(model=str(tiny_models[name]), bos=False))
        assert (idle in plan.notices) is expected
        assert idle not in make_plan(Request(model=str(tiny_models[name]))).notices
    with pytest.raises(InputError, match=r"^--no-bos is of hidden states, and none are asked for\nhint: leave it out$"):
        make_plan(Request(model=str(tiny_models["gpt2"]), spaces="static", bos=False))


def test_the_layers_asked_for_come_in_ascending_order(tiny_models):
    ids = np.arange(5, 45)
    states, _ = reference(tiny_models["bert"], ids, TEMPLATES["bert"])
    result = encode(tiny_models["bert"], ids, layers="2,0")
    assert relative_errors(result.isolated, states[[0, 2]]).max() <= 1e-5
    last = encode(tiny_models["bert"], ids)
    assert relative_errors(last.isolated, states[[2]]).max() <= 1e-5


def test_the_pad_token_is_attended_like_any_other(tiny_models):
    """With its mask at zero, a token's neighbours would not see it: the reference must differ from that."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(tiny_models["bert"], dtype=torch.float32).eval()
    sequence, masked = torch.tensor([[3, 0, 4]]), torch.tensor([[1, 0, 1]])
    with torch.inference_mode():
        hidden = model(sequence, attention_mask=masked).last_hidden_state[0, 1].numpy()
    pad = encode(tiny_models["bert"], np.array([0, 0])).isolated[0, 0]
    assert relative_errors(pad, hidden) > 1e-2


@pytest.mark.parametrize("variant", ["bert-sharded", "bert-bin", "bert-more-tokens"])
def test_the_files_that_hold_the_weights_do_not_change_the_vectors(variant, tiny_models):
    expected = encode(tiny_models["bert"], layers="all")
    result = encode(tiny_models[variant], layers="all")
    np.testing.assert_array_equal(result.static, expected.static)
    np.testing.assert_array_equal(result.isolated, expected.isolated)


def test_a_checkpoint_of_pretraining_gives_its_encoder(tmp_path, tiny_models):
    """As the article's model: keys begin with `bert.`, a head comes on top, and there is no pooler."""
    from transformers import BertConfig, BertForMaskedLM, BertModel

    shutil.copytree(tiny_models["bert"], tmp_path / "model")
    config = BertConfig.from_pretrained(tiny_models["bert"])
    model = BertForMaskedLM(config)
    model.bert.load_state_dict(BertModel.from_pretrained(tiny_models["bert"]).state_dict(), strict=False)
    model.save_pretrained(tmp_path / "model")
    expected = encode(tiny_models["bert"])
    np.testing.assert_array_equal(encode(tmp_path / "model").isolated, expected.isolated)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("Electra", {"embedding_size": 16}),
        ("Albert", {"embedding_size": 16}),
        ("DistilBert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}),
        ("DebertaV2", {}),
        ("ModernBert", {}),
    ],
)
def test_other_encoders_with_other_names_in_their_config_are_taken(kind, own, tmp_path, tiny_models):
    """DistilBERT says `dim`; ELECTRA's and ALBERT's embeddings are smaller than their hidden states."""
    import transformers

    shutil.copytree(tiny_models["bert"], tmp_path / "model")
    usual = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    sizes = {"vocab_size": len(bert_vocabulary()), "pad_token_id": 0} | (own if "dim" in own else usual | own)
    config = getattr(transformers, f"{kind}Config")(**sizes)
    folder = save(getattr(transformers, f"{kind}Model"), config, tmp_path / "model", seed=1)
    plan = make_plan(Request(model=str(folder), layers="all"))
    ids = np.arange(60)
    states, matrix = reference(folder, ids, TEMPLATES["bert"])
    result = encode(folder, ids, layers="all")
    assert relative_errors(result.isolated, states).max() <= 1e-5
    np.testing.assert_array_equal(result.static, matrix[ids])
    assert (plan.table.size, plan.size) == (result.static.shape[1], result.isolated.shape[2])


def test_half_precision_of_the_computation_leaves_the_static_vectors_exact(tiny_models):
    exact = encode(tiny_models["bert"], layers="all")
    half = encode(tiny_models["bert"], layers="all", dtype="bfloat16")
    np.testing.assert_array_equal(half.static, exact.static)
    assert half.static.dtype == half.isolated.dtype == np.float32
    errors = relative_errors(half.isolated, exact.isolated)
    assert 1e-4 < errors.mean() < 2e-2  # bfloat16 keeps 8 bits: it was used, and it is near


def test_stored_half_precision_is_the_float32_result_rounded(tiny_models):
    exact = encode(tiny_models["bert"])
    half = encode(tiny_models["bert"], store_dtype="float16")
    assert half.isolated.dtype == np.float16
    np.testing.assert_array_equal(half.isolated, exact.isolated.astype(np.float16))
    np.testing.assert_array_equal(half.static, exact.static)


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, r"lack 16 of the model's parameters.*layer\.2"),
        ({"vocab_size": 500}, "has 397 embedding rows, its config.json says 500"),
        (
            {"model_type": "distilbert", "architectures": ["DistilBertModel"]},
            r"lack .* of the model's parameters",
        ),
        ({"hidden_size": 64}, r"hold embeddings.LayerNorm.bias as \(32,\), its config.json says \(64,\)"),
    ],
)
def test_weights_of_another_model_are_refused_not_filled_with_random_numbers(changes, message, tmp_path):
    folder = make_bert(tmp_path / "model")
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        encode(folder)
    assert "\n" not in str(caught.value)


def save_other(kind, folder):
    import transformers

    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 99}
    configs = {
        "ViT": tiny | {"image_size": 16, "patch_size": 8},
        "T5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "vocab_size": 99},
        "Bart": layers | {"d_model": 32, "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64},
        "CLIP": {
            "text_config": tiny | {"vocab_size": 99},
            "vision_config": tiny | {"image_size": 16, "patch_size": 8},
        },
        "Wav2Vec2": tiny | {"conv_dim": (32,), "conv_kernel": (10,), "conv_stride": (5,), "num_feat_extract_layers": 1},
    }
    config = getattr(transformers, f"{kind}Config")(**configs[kind])
    return save(getattr(transformers, f"{kind}Model"), config, folder, seed=0)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ViT", r"\(vit\) has no vocab_size"),
        ("T5", r"is an encoder-decoder \(t5\)"),
        ("Bart", r"is an encoder-decoder \(bart\)"),
        ("CLIP", r"\(clip\) is a model of several modalities"),
    ],
)
def test_a_model_without_tokenwise_hidden_states_is_refused_by_the_plan(kind, reason, tmp_path, tiny_models):
    """A tokenizer lies beside it, so that the model alone is the reason."""
    shutil.copytree(tiny_models["bert"], tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    folder = save_other(kind, tmp_path / "model")
    with pytest.raises(ModelError, match=reason) as caught:
        make_plan(Request(model=str(folder)))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_speech_model_is_refused_when_it_is_loaded(tmp_path, tiny_models):
    """Its config has a vocab_size, of the letters that it writes: only the model says that it takes sound."""
    shutil.copytree(tiny_models["bert"], tmp_path / "model")
    with pytest.raises(ModelError, match=r"takes input_values, not tokens\nhint: choose a text encoder$"):
        encode(save_other("Wav2Vec2", tmp_path / "model"))


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_header(path: Path):
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


@pytest.mark.parametrize("spoil", [truncate, spoil_header, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("variant", ["bert", "bert-sharded"])
def test_damaged_safetensors_are_refused_by_the_plan_naming_the_file(spoil, variant, tmp_path, tiny_models):
    folder = shutil.copytree(tiny_models[variant], tmp_path / "model")
    weights = max(folder.glob("*.safetensors"))
    spoil(weights)
    with pytest.raises(
        ModelError, match=rf"{weights.name} is (damaged|empty).*\nhint: download the model again$"
    ) as caught:
        make_plan(Request(model=str(folder)))
    assert "\n" not in str(caught.value)


def test_a_missing_part_of_sharded_weights_is_named(tmp_path, tiny_models):
    folder = shutil.copytree(tiny_models["bert-sharded"], tmp_path / "model")
    missing = sorted(folder.glob("*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(ModelError, match=missing.name):
        make_plan(Request(model=str(folder)))


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_of_sharded_weights_is_refused(content, tmp_path, tiny_models):
    folder = shutil.copytree(tiny_models["bert-sharded"], tmp_path / "model")
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        make_plan(Request(model=str(folder)))


@pytest.mark.parametrize("spoil", [truncate, spoil_header])
def test_a_damaged_bin_file_is_refused_in_one_line(spoil, tmp_path):
    folder = make_bin(tmp_path / "model")
    spoil(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"the weights of .* do not load") as caught:
        encode(folder)
    assert "\n" not in str(caught.value)


class Payload:
    """Pickles as a call that writes a file: what a hostile .bin would do."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "executed"))


def test_the_code_in_a_hostile_bin_file_is_not_executed(tmp_path):
    folder, trap = make_bin(tmp_path / "model"), tmp_path / "executed"
    (folder / "pytorch_model.bin").write_bytes(
        pickle.dumps({"weight": Payload(trap), "rest": bytes(50_000)}, protocol=2)
    )
    with pytest.raises(ModelError, match="do not load"):
        encode(folder)
    assert not trap.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())  # noqa: S301 — the trap is a real one
    assert trap.read_text() == "executed"


def test_a_folder_without_weights_is_refused_by_the_plan(tmp_path):
    folder = make_bert(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no weights: neither model\.safetensors nor pytorch_model\.bin"):
        make_plan(Request(model=str(folder)))
