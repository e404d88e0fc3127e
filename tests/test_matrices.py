"""Tables of any checkpoint: the rows of its tensors bit for bit, and an output that gives transformers' logits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kotovec.cluster.build import Resources, build
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import InputError, ModelError, NonFiniteError, SettingsDifferError
from kotovec.space import OUTPUT, STATIC
from kotovec.store import Store
from kotovec.workers import matrices
from kotovec.workers.model import Model

from commands import call
from models import bert_vocabulary, save

ROWS = len(bert_vocabulary()) + 7  # padded
INLINE = Resources(workers=0)
USUAL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SMALL = USUAL | {"vocab_size": ROWS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
SEEN = {"depth": 1, "embed_dim": 32, "num_heads": 4, "hidden_size": 32}
CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
IDS = {"vocab_size": ROWS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0}
T5 = IDS | {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
BART = (
    IDS
    | {
        f"{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))
    }
    | {"d_model": 32, "forced_eos_token_id": 2}
)
OPT = SMALL | {"ffn_dim": 64, "word_embed_proj_dim": 16, "max_position_embeddings": 64}
GPT2 = {
    "vocab_size": ROWS,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Class, config, settings, and the tensors of the input and of the output (None where it is the input).
KINDS = {
    "llama": ("LlamaForCausalLM", GROUPED, "model.embed_tokens.weight", "lm_head.weight"),
    "llama-tied": ("LlamaForCausalLM", GROUPED | {"tie_word_embeddings": True}, "model.embed_tokens.weight", None),
    "qwen2": ("Qwen2ForCausalLM", SMALL | {"num_key_value_heads": 2}, "model.embed_tokens.weight", "lm_head.weight"),
    "qwen3": ("Qwen3ForCausalLM", GROUPED | {"tie_word_embeddings": True}, "model.embed_tokens.weight", None),
    "gemma": ("GemmaForCausalLM", GROUPED, "model.embed_tokens.weight", None),
    "gpt2": ("GPT2LMHeadModel", GPT2, "transformer.wte.weight", None),
    "gpt-oss": ("GptOssForCausalLM", GROUPED | EXPERTS, "model.embed_tokens.weight", "lm_head.weight"),
    "mixtral": (
        "MixtralForCausalLM",
        GROUPED | EXPERTS,
        "model.embed_tokens.weight",
        "lm_head.weight",
    ),
    "t5": ("T5ForConditionalGeneration", T5, "shared.weight", None),
    "mt5": ("MT5ForConditionalGeneration", T5 | {"tie_word_embeddings": False}, "shared.weight", None),
    "bart": ("BartForConditionalGeneration", BART, "model.shared.weight", None),
    "opt": ("OPTForCausalLM", OPT, "model.decoder.embed_tokens.weight", None),
    "bert": ("BertForMaskedLM", SMALL, "bert.embeddings.word_embeddings.weight", None),
    "modernbert": ("ModernBertForMaskedLM", SMALL, "model.embeddings.tok_embeddings.weight", None),
    "deberta": ("DebertaV2ForMaskedLM", SMALL, "deberta.embeddings.word_embeddings.weight", None),
    "albert": ("AlbertForMaskedLM", SMALL | {"embedding_size": 16}, "albert.embeddings.word_embeddings.weight", None),
    "qwen2-vl": (
        "Qwen2VLForConditionalGeneration",
        {"text_config": SMALL | {"num_key_value_heads": 2}, "vision_config": SEEN, "image_token_id": 3},
        "model.embed_tokens.weight",
        "lm_head.weight",
    ),
    "llava": (
        "LlavaForConditionalGeneration",
        {"text_config": GROUPED | {"model_type": "llama"}, "vision_config": CLIP | {"model_type": "clip_vision_model"}},
        "language_model.model.embed_tokens.weight",
        "language_model.lm_head.weight",
    ),
}
WITH_LOGITS = ("llama", "qwen3", "gemma", "gpt2", "gpt-oss", "t5", "bart", "opt", "bert", "albert", "llava")


class Checkpoints(dict):
    """Name → folder of a tiny checkpoint with BERT's tokenizer, in several files; each written when first asked for."""

    def __init__(self, root, beside):
        super().__init__()
        self.root, self.beside = root, beside

    def __missing__(self, name):
        folder = Path(
            shutil.copytree(self.beside, self.root / name, ignore=shutil.ignore_patterns("model*", "config*"))
        )
        kind, settings, _, _ = KINDS[name]
        own = getattr(transformers, kind)
        save(own, own.config_class(**settings), folder, 3, shard_size="40KB")
        self[name] = folder
        return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory, tiny_models):
    """Folders of tiny checkpoints by the names of `KINDS`; tests must not write into them."""
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"), tiny_models["bert"])


def tensor(folder, name):
    """Return a tensor of a checkpoint by safetensors' own reader, float32."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118 — not a dictionary
                return file.get_tensor(name).float().numpy()
    raise KeyError(name)


def built(folder, path, spaces="static,output", **options):
    """Build tables in this process; return the open store."""
    build(make_plan(Request(model=str(folder), spaces=spaces, **options)), path, INLINE)
    return Store.open(path)


@pytest.mark.parametrize("name", KINDS)
def test_tables_are_the_tensors_bit_for_bit(name, checkpoints, tmp_path):
    folder, (_, _, own, head) = checkpoints[name], KINDS[name]
    store = built(folder, tmp_path / "x.kotovec")
    ids = store.tokens.ids
    matrix = tensor(folder, own)
    assert len(ids) == len(bert_vocabulary())
    assert store.array("static").tobytes() == matrix[ids].tobytes()
    assert store.vectors.made(STATIC)["tensor"] == own
    np.testing.assert_array_equal(store.vectors.part(STATIC, "unnamed"), matrix[len(ids) :])
    np.testing.assert_array_equal(store.vectors.part(STATIC, "unnamed_id"), range(len(ids), ROWS))
    if head is None:
        assert store.spaces == (STATIC,)
        assert store.space("output") == STATIC
        assert store.vectors.made(OUTPUT)["tied"] == "the checkpoint holds no matrix of its own for it"
    else:
        assert store.array("output").tobytes() == tensor(folder, head)[ids].tobytes()
    assert store.verify() == []
    assert not (tmp_path / "x.kotovec" / "indexes").exists()


def logits(folder, kind, *, length=5):
    """Return hidden states before the output matrix, and transformers' logits without their bias, both (length, …)."""
    model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()
    head, seen = model.get_output_embeddings(), []
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    given = {"input_ids": torch.arange(20, 20 + length)[None]}
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = given["input_ids"]
    with torch.inference_mode():
        found = model(**given, use_cache=False).logits[0]
        bias = 0.0 if head.bias is None else head.bias.detach()
    return seen[0].reshape(length, -1).numpy(), (found - bias).numpy()


@pytest.mark.parametrize(
    "name", ["llama", "qwen3", "gemma", "gpt2", "gpt-oss", "t5", "bart", "opt", "bert", "albert", "llava"]
)
def test_hidden_states_times_the_output_matrix_are_transformers_logits(name, checkpoints, tmp_path):
    store = built(checkpoints[name], tmp_path / "x.kotovec")
    states, wanted = logits(checkpoints[name], KINDS[name][0])
    found = states @ store.array("output").T
    np.testing.assert_allclose(found, wanted[:, store.tokens.ids], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("bert", "cls.predictions.transform"),
        ("albert", "predictions.dense"),
        ("modernbert", "head.dense"),
        ("deberta", "cls.predictions.transform"),
        ("opt", "project_out"),
        ("llama", ""),
        ("t5", ""),
    ],
)
def test_what_stands_before_the_output_is_said(name, before, checkpoints):
    found = matrices.find(Model.find(str(checkpoints[name])))
    assert found.before == before
    plan = make_plan(Request(model=str(checkpoints[name]), spaces="output"))
    assert any(f"between the hidden states and output there is {before}" in text for text in plan.notices) == bool(
        before
    )


def written(folder, tensors, **changes):
    """Write other tensors, in one file, and change the config."""
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
        path.unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def copied(checkpoints, tmp_path):
    """Return a function that copies a checkpoint: its folder, and its tensors."""

    def copy(name):
        folder = Path(shutil.copytree(checkpoints[name], tmp_path / "model"))
        tensors = {}
        for path in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(path)
        return folder, tensors

    return copy


def test_the_norms_of_a_row_without_a_token_have_a_gap_where_there_is_none(checkpoints, tmp_path, capsys):
    """`isolated` has no such row, and there was no answer for the tables either."""
    folder, path = checkpoints["llama"], tmp_path / "x.kotovec"
    built(folder, path, spaces="static,isolated", device="cpu")
    row = ROWS - 1
    wanted = np.linalg.norm(tensor(folder, KINDS["llama"][2])[row].astype(np.float64))
    found = json.loads(call(capsys, "norms", f"#{row}", "--store", path, "--json").out)
    isolated = next(name for name in found if name.startswith("isolated"))
    assert found["static"] == pytest.approx(wanted)
    assert found[isolated] is None
    assert found["notes"] == [f"#{row} is a row without a token", f"#{row} has a vector in static alone"]
    table = call(capsys, "norms", f"#{row}", "--store", path).out
    assert table.split()[-2:] == [f"{wanted:.4f}", "—"]


def test_tied_is_read_from_the_tensors_and_not_from_the_config(copied, tmp_path):
    folder, tensors = copied("llama")
    own = tensors["model.embed_tokens.weight"]
    written(folder, tensors | {"lm_head.weight": own.clone()}, tie_word_embeddings=False)
    equal = built(folder, tmp_path / "equal.kotovec")
    assert equal.vectors.made(OUTPUT)["tied"] == "lm_head.weight equals model.embed_tokens.weight bit for bit"
    other = own.clone()
    other[5, 3] = torch.nextafter(other[5, 3], torch.tensor(9.0))
    written(folder, tensors | {"lm_head.weight": other}, tie_word_embeddings=True)
    apart = built(folder, tmp_path / "apart.kotovec")
    assert apart.spaces == (STATIC, OUTPUT)
    assert apart.array("output").tobytes() == other.numpy()[apart.tokens.ids].tobytes()


def test_a_matrix_that_is_saved_under_the_name_of_the_output_alone_is_both(copied, tmp_path):
    folder, tensors = copied("llama-tied")
    matrix = tensors.pop("model.embed_tokens.weight")
    written(folder, tensors | {"lm_head.weight": matrix})
    store = built(folder, tmp_path / "x.kotovec")
    assert store.array("static").tobytes() == matrix.numpy()[store.tokens.ids].tobytes()
    assert store.space("output") == STATIC


def test_output_alone_of_a_tied_model_is_static_and_said_so(checkpoints, tmp_path):
    store = built(checkpoints["qwen3"], tmp_path / "x.kotovec", "output")
    answer = store.search("king", space="output", k=2)
    assert (str(answer.space), answer.results[0].token) == ("static", "king")
    assert answer.notes == ("output is tied to static: the checkpoint holds no matrix of its own for it",)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_numbers_of_other_dtypes_become_float32_exactly(dtype, file, copied, tmp_path):
    folder, tensors = copied("llama")
    tensors = {name: each.to(getattr(torch, dtype)) for name, each in tensors.items()}
    written(folder, tensors)
    if file.endswith(".bin"):
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / file)
    store = built(folder, tmp_path / "x.kotovec")
    for space, name in (("static", "model.embed_tokens.weight"), ("output", "lm_head.weight")):
        assert store.array(space).tobytes() == tensors[name].float().numpy()[store.tokens.ids].tobytes()


def test_blocks_are_small_and_leave_out_what_is_filtered(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr("kotovec.workers.ranges.BLOCK_BYTES", 10 * 32 * 4)
    store = built(checkpoints["llama"], tmp_path / "x.kotovec", token_filter=("subword", "special"))
    matrix = tensor(checkpoints["llama"], "model.embed_tokens.weight")
    assert store.array("static").tobytes() == matrix[store.tokens.ids].tobytes()


def test_a_quantised_table_is_refused_and_quantised_layers_are_not(copied, tmp_path):
    folder, tensors = copied("llama")
    layer = "model.layers.0.mlp.up_proj.weight"
    written(
        folder, tensors | {layer: tensors[layer].to(torch.float8_e4m3fn)}, quantization_config={"quant_method": "fp8"}
    )
    plan = make_plan(Request(model=str(folder), spaces="static"))
    assert "the layers of this checkpoint are quantised (fp8), its tables are not" in plan.notices
    with pytest.raises(ModelError, match="quantised"):
        make_plan(Request(model=str(folder)))
    head = tensors["lm_head.weight"].to(torch.float8_e4m3fn)
    written(folder, tensors | {"lm_head.weight": head})
    built(folder, tmp_path / "x.kotovec", "static")
    with pytest.raises(ModelError, match=r"^lm_head.weight of .* is quantised \(F8_E4M3\), which"):
        make_plan(Request(model=str(folder), spaces="static,output"))


def test_an_architecture_that_transformers_does_not_know_is_read_by_the_names(copied, tmp_path):
    folder, tensors = copied("llama")
    written(folder, tensors, model_type="novel", architectures=["NovelForCausalLM"])
    store = built(folder, tmp_path / "x.kotovec")
    assert store.array("output").tobytes() == tensors["lm_head.weight"].numpy()[store.tokens.ids].tobytes()
    written(folder, {name.replace("embed_tokens", "lookup"): each for name, each in tensors.items()})
    with pytest.raises(ModelError, match="has no input embeddings that its tensors' names tell"):
        make_plan(Request(model=str(folder), spaces="static"))
    two = {f"{tower}.embed_tokens.weight": tensors["lm_head.weight"] + at for at, tower in enumerate(("a", "b"))}
    written(folder, two)
    with pytest.raises(ModelError, match=r"several candidates .*: a.embed_tokens.weight, b.embed_tokens.weight"):
        make_plan(Request(model=str(folder), spaces="static"))


def test_a_model_without_a_head_has_no_output(tiny_models, copied):
    with pytest.raises(ModelError, match="has no output matrix: BertModel gives no logits\nhint: choose a checkpoint"):
        make_plan(Request(model=str(tiny_models["bert"]), spaces="static,output"))
    folder, tensors = copied("llama")
    del tensors["lm_head.weight"]
    written(folder, tensors)
    with pytest.raises(ModelError, match="has no output matrix: its checkpoint lacks lm_head.weight"):
        make_plan(Request(model=str(folder), spaces="output"))


@pytest.mark.parametrize("name", ["t5", "llava"])
def test_hidden_states_of_these_are_still_refused(name, checkpoints):
    with pytest.raises(ModelError, match=r"(encoder-decoder|modalities)[^\n]*\nhint: .*--spaces static,output$"):
        make_plan(Request(model=str(checkpoints[name])))


def test_a_damaged_header_is_one_line(copied):
    folder, tensors = copied("gpt2")
    path = written(folder, tensors) / "model.safetensors"
    whole = path.read_bytes()
    for raw in (whole[:5], b"\xff" * 8 + whole[8:], whole[:8] + b"[" + whole[9:], whole[:-9]):
        path.write_bytes(raw)
        with pytest.raises(ModelError, match="do not load: model.safetensors is damaged"):
            matrices.find(Model.find(str(folder)))


@pytest.mark.parametrize(
    ("spaces", "layers", "message"),
    [
        (
            "context@0-2",
            "last",
            "`kotovec build` makes no context@0-2\nhint: choose `static`, .*, `context` or `output`",
        ),
        ("isolated@1", "all", "--spaces and --layers both name layers"),
        ("static,nothing", "last", "unknown space `nothing`\nhint: choose `static`, .*, `context` or `output`$"),
        ("", "last", "unknown space ``\nhint: choose `static`, `isolated`, `template`, `context` or `output`$"),
        ("isolated@9", "last", "the model has the layers 0 to 2, not 9"),
    ],
)
def test_spaces_that_cannot_be_built_are_refused(spaces, layers, message, tiny_models):
    with pytest.raises(InputError, match=message):
        make_plan(Request(model=str(tiny_models["bert"]), spaces=spaces, layers=layers))


def test_tables_and_hidden_states_in_one_build(checkpoints, tmp_path):
    store = built(checkpoints["llama"], tmp_path / "x.kotovec", "static,output,isolated@0,isolated@2", shard_tokens=64)
    assert list(map(str, store.spaces)) == ["static", "isolated@0", "isolated@2", "output"]
    assert store.array("output").tobytes() == tensor(checkpoints["llama"], "lm_head.weight")[store.tokens.ids].tobytes()


def test_a_table_is_added_to_a_store_of_the_same_weights_and_to_no_other(copied, checkpoints, tmp_path):
    path = tmp_path / "x.kotovec"
    built(checkpoints["llama"], path, "static")
    assert built(checkpoints["llama"], path, "output").spaces == (STATIC, OUTPUT)
    folder, _ = copied("llama")
    for file in sorted(folder.glob("*.safetensors")):  # the same headers, as of a model that was trained further
        part = load_file(file)
        for name in part.keys() & {"model.embed_tokens.weight"}:
            part[name][7, 7] += 1
        save_file(part, file, metadata={"format": "pt"})
    (path / "spaces" / "output.h5").unlink()
    with pytest.raises(SettingsDifferError, match="was built from other weights: the rows of its static differ"):
        built(folder, path, "static,output")
    with pytest.raises(SettingsDifferError, match="holds tables alone, of a checkpoint that was not read as a whole"):
        build(make_plan(Request(model=str(checkpoints["llama"]))), path, INLINE)
    whole = tmp_path / "whole.kotovec"
    build(make_plan(Request(model=str(checkpoints["llama"]))), whole, INLINE)
    assert OUTPUT in built(checkpoints["llama"], whole, "output").spaces
    with pytest.raises(SettingsDifferError, match="the model's weights differ"):
        built(folder, whole, "output")


def test_rows_without_a_token_and_tokens_without_a_row_by_their_numbers(checkpoints, copied, tmp_path):
    store = built(checkpoints["llama"], tmp_path / "x.kotovec")
    first = len(bert_vocabulary())
    matrix = tensor(checkpoints["llama"], "lm_head.weight")
    np.testing.assert_array_equal(store.vector(f"#{first + 2}", "output"), matrix[first + 2])
    assert f"#{first + 2}" in store
    answer = store.search(f"#{first + 2} - king", space="static", k=1)
    assert f"#{first + 2} is a row without a token" in answer.notes
    with pytest.raises(InputError, match=f"holds no token #{ROWS}"):
        store.search(f"#{ROWS}")
    folder, tensors = copied("llama")
    rows, text = first - 3, bert_vocabulary()[-3]
    fewer = {name: tensors[name][:rows].clone() for name in ("model.embed_tokens.weight", "lm_head.weight")}
    written(folder, tensors | fewer, vocab_size=rows)
    store = built(folder, tmp_path / "y.kotovec")
    assert store.vectors.attributes["tokens_without_row"] == 3
    with pytest.raises(InputError, match=rf"the model has no row for the token #{rows} \(`{text}`\)"):
        store.search(f"#{rows}")


def test_fewer_rows_of_one_table_leave_out_tokens_of_both(copied, tmp_path):
    folder, tensors = copied("llama")
    fewer = len(bert_vocabulary()) - 2
    written(folder, tensors | {"lm_head.weight": tensors["lm_head.weight"][:fewer].clone()})
    store = built(folder, tmp_path / "x.kotovec")
    assert store.array("static").shape == store.array("output").shape == (fewer, 32)
    assert store.vectors.attributes["tokens_without_row"] == 2
    only = tmp_path / "y.kotovec"
    built(folder, only, "static")
    with pytest.raises(SettingsDifferError, match="the list of tokens differs"):
        built(folder, only, "static,output")


def test_a_classifier_is_no_output_and_a_longer_head_is_noted(copied):
    folder, tensors = copied("llama")
    head = tensors.pop("lm_head.weight")
    config = json.loads((folder / "config.json").read_text())
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    written(folder, tensors | {"score.head.weight": head[:4].clone()})
    with pytest.raises(ModelError, match="has no output matrix: LlamaModel gives no logits"):
        make_plan(Request(model=str(folder), spaces="static,output"))
    written(folder, tensors | {"lm_head.weight": torch.cat([head, head[:16]])}, architectures=["LlamaForCausalLM"])
    plan = make_plan(Request(model=str(folder), spaces="static,output"))
    said = f"lm_head.weight has {ROWS + 16:,} rows and model.embed_tokens.weight {ROWS:,}: both are cut to {ROWS:,}"
    assert said in plan.notices


MORE = {
    "granite": ("GraniteForCausalLM", SMALL | {"num_key_value_heads": 2, "logits_scaling": 8.0}),
    "cohere": ("CohereForCausalLM", SMALL | {"num_key_value_heads": 2, "logit_scale": 0.0625}),
    "t5": ("T5ForConditionalGeneration", T5),
    "mt5": ("MT5ForConditionalGeneration", T5 | {"tie_word_embeddings": False}),
    "electra": ("ElectraForMaskedLM", SMALL | {"embedding_size": 16}),
    "mobilebert": ("MobileBertForMaskedLM", SMALL | {"embedding_size": 16, "intra_bottleneck_size": 16}),
    "xglm": ("XGLMForCausalLM", IDS | {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64}),
}


def other(name, tiny_models, tmp_path):
    """Return the folder of another tiny checkpoint, with BERT's tokenizer."""
    kind, settings = MORE[name]
    ignored = shutil.ignore_patterns("model*", "config*")
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / name, ignore=ignored))
    own = getattr(transformers, kind)
    save(own, own.config_class(**settings), folder, 3)
    return folder


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("granite", "0.125, 1 ∕ logits_scaling"),
        ("cohere", "0.0625, logit_scale"),
        ("t5", "0.176777, d_model^-0.5"),
        ("mt5", ""),
    ],
)
def test_the_scale_of_the_logits_is_said_and_is_theirs(name, scale, tiny_models, tmp_path):
    folder = other(name, tiny_models, tmp_path)
    store = built(folder, tmp_path / "x.kotovec")
    assert store.vectors.made(OUTPUT)["scale"] == scale
    own = getattr(transformers, MORE[name][0]).from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.arange(20, 25)[None]
    given = {"input_ids": ids} | ({"decoder_input_ids": ids} if own.config.is_encoder_decoder else {})
    with torch.inference_mode():
        found = own(**given, output_hidden_states=True, use_cache=False)
    layers = found.decoder_hidden_states if own.config.is_encoder_decoder else found.hidden_states
    logits_here = layers[-1][0].numpy() @ store.array("output").T * float((scale or "1").split(",")[0])
    np.testing.assert_allclose(logits_here, found.logits[0].numpy()[:, store.tokens.ids], atol=1e-5, rtol=1e-4)


def test_bias_and_last_norm_of_others_and_an_output_of_two_matrices(tiny_models, tmp_path):
    electra = matrices.find(Model.find(str(other("electra", tiny_models, tmp_path))))
    assert electra.bias == "generator_lm_head.bias"
    norm = matrices.find(Model.find(str(other("xglm", tiny_models, tmp_path)))).norm
    assert (norm.kind, norm.weight.name) == ("layer", "model.layer_norm.weight")
    with pytest.raises(ModelError, match="two matrices side by side, and one of them is the input\nhint: build `stat"):
        make_plan(Request(model=str(other("mobilebert", tiny_models, tmp_path)), spaces="static,output"))


def test_a_row_without_a_token_that_is_not_finite_is_refused(copied, tmp_path):
    folder, tensors = copied("llama")
    tensors["lm_head.weight"][ROWS - 2, 3] = float("nan")
    written(folder, tensors)
    with pytest.raises(
        NonFiniteError, match=rf"^lm_head.weight of .* holds NaN or Inf in the row #{ROWS - 2}\nhint: download"
    ):
        built(folder, tmp_path / "x.kotovec")
