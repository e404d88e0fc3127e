"""Hidden states among the rows of the output matrix, with the model's last norm; and the token before a decoder's."""

import json
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
import transformers
from test_matrices import INLINE, KINDS, MORE, checkpoints, other  # noqa: F401 — a fixture

from kotovec.cluster.build import build
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import DamagedError, InputError
from kotovec.space import OUTPUT
from kotovec.store import Store, lens

from commands import call
from models import make_gpt2

DECODERS = ("gpt2", "llama", "qwen2", "gemma")


@pytest.fixture(scope="module")
def decoders(checkpoints, tmp_path_factory):  # noqa: F811
    """Stores of tiny decoders with all of their spaces, by name; each built when first asked for."""
    root, made = tmp_path_factory.mktemp("decoders"), {}

    def store(name):
        if name not in made:
            plan = make_plan(Request(model=str(checkpoints[name]), spaces="static,output,isolated", layers="all"))
            build(plan, root / name, INLINE)
            made[name] = Store.open(root / name), plan
        return made[name]

    return store


def model_of(plan, name):
    own = getattr(transformers, KINDS[name][0])
    return own.from_pretrained(plan.model.source.folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", DECODERS)
def test_isolated_states_of_a_decoder_follow_the_token_of_the_beginning(name, decoders):
    store, plan = decoders(name)
    prefix = plan.spec.template.prefix
    assert len(prefix) == 1 or plan.spec.template.length > 1
    inputs = torch.tensor([[*prefix, token_id, *plan.spec.template.suffix] for token_id in store.tokens.ids])
    with torch.inference_mode():
        states = model_of(plan, name)(inputs, output_hidden_states=True, use_cache=False).hidden_states
    for layer in (0, 1, 2):
        wanted = states[layer][:, len(prefix)].numpy()
        np.testing.assert_allclose(store.array(f"isolated@{layer}"), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("layer", [1, 2])
def test_a_state_is_looked_up_as_the_model_reads_it_out(name, layer, decoders):
    """The inner product is the logit of transformers' head, after its last norm; the last layer has it already."""
    store, plan = decoders(name)
    model = model_of(plan, name)
    state = torch.from_numpy(np.array(store.array(f"isolated@{layer}")[:1]))
    with torch.inference_mode():
        last = model.model.norm if hasattr(model, "model") else model.transformer.ln_f
        wanted = model.lm_head(state if layer == 2 else last(state))[0].numpy()[store.tokens.ids]
    first = f"#{store.tokens.ids[0]}"
    answer = store.search(first, space=f"isolated@{layer}", within="output", metric="ip", k=5)
    assert [hit.id for hit in answer.results] == store.tokens.ids[np.argsort(-wanted)[:5]].tolist()
    np.testing.assert_allclose([hit.score for hit in answer.results], np.sort(wanted)[::-1][:5], rtol=1e-4)
    said = "after the model's last norm, which states of this layer lack"
    assert (said in answer.notes) == (layer == 1)


def test_static_is_looked_up_as_it_is(decoders):
    store, _ = decoders("llama")
    answer = store.search("king", space="static", within="output", metric="ip", k=3)
    scores = np.asarray(store.array("output"), dtype=np.float64) @ store.vector("king", "static")
    assert [hit.id for hit in answer.results] == store.tokens.ids[np.argsort(-scores)[:3]].tolist()
    assert answer.notes == ("vectors of static, looked up in output",)
    assert store.search("king", within="isolated", k=1).notes == ("vectors of static, looked up in isolated@2",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "granite",
            "the model multiplies its logits by 0.125, 1 ∕ logits_scaling, which is left out here, and keeps their",
        ),
        (
            "cohere",
            "the model multiplies its logits by 0.0625, logit_scale, which is left out here, and keeps their order",
        ),
    ],
)
def test_a_scale_after_the_output_is_said_and_keeps_the_order_of_the_logits(name, said, tiny_models, tmp_path):
    folder = other(name, tiny_models, tmp_path)
    plan = make_plan(Request(model=str(folder), spaces="static,output,isolated", layers="all"))
    build(plan, tmp_path / "x.kotovec", INLINE)
    store = Store.open(tmp_path / "x.kotovec")
    (row,) = store.question("king", "isolated").rows
    ids = torch.tensor([[*plan.spec.template.prefix, store.tokens.ids[row], *plan.spec.template.suffix]])
    own = getattr(transformers, MORE[name][0]).from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = own(ids, use_cache=False).logits[0, len(plan.spec.template.prefix)].numpy()[store.tokens.ids]
    answer = store.search("king", space="isolated", within="output", metric="ip", k=20)
    assert any(note.startswith(said) for note in answer.notes)
    scale = float(store.vectors.made(OUTPUT)["scale"].split(",")[0])
    rows = [store.tokens.row_of_id(hit.id) for hit in answer.results]
    np.testing.assert_allclose([scale * hit.score for hit in answer.results], logits[rows], atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(rows, np.argsort(-logits, kind="stable")[:20])
    inner = store.search("king", space="isolated@1", within="output", k=1)
    assert any(note.startswith(said) for note in inner.notes)
    assert not any("multiplies" in note for note in store.search("king", space="static", within="output", k=1).notes)


def test_a_bias_after_the_output_is_said(tiny_models, tmp_path):
    plan = make_plan(Request(model=str(other("electra", tiny_models, tmp_path)), spaces="static,output,isolated"))
    build(plan, tmp_path / "x.kotovec", INLINE)
    view = lens._left_out(Store.open(tmp_path / "x.kotovec").vectors.made(OUTPUT))
    assert list(view) == [
        "the model applies generator_predictions.dense before its output, which is left out here",
        "the model adds generator_lm_head.bias to its logits, which is left out here, and may change their order",
    ]


def test_the_space_of_the_vectors_itself_is_no_other_one_to_speak_of(decoders):
    store, _ = decoders("llama")
    assert store.search("king", space="static", within="static", k=1).notes == ()
    assert store.search("king", space="isolated", within="isolated@2", k=1).notes == ()


def test_other_widths_are_refused(decoders, tmp_path, checkpoints):  # noqa: F811
    plan = make_plan(Request(model=str(checkpoints["albert"]), spaces="static,isolated"))
    build(plan, tmp_path / "x.kotovec", INLINE)
    store = Store.open(tmp_path / "x.kotovec")
    with pytest.raises(InputError, match="isolated@2 has 32 dimensions, static has 16: nothing of one is near"):
        store.search("king", space="isolated", within="static")
    with pytest.raises(InputError, match="output is not in this store: it holds static, isolated@2"):
        store.search("king", space="static", within="output")


def test_the_token_of_the_beginning_is_put_where_a_template_has_none(tiny_models):
    bos = make_plan(Request(model=str(tiny_models["gpt2"])))
    end = bos.tokens.texts.find("<|endoftext|>")
    assert bos.spec.template.prefix == (bos.tokens.ids[end],)
    said = f"`<|endoftext|>` (id {bos.tokens.ids[end]}) is put before each token, as the first position of a decoder is"
    assert any(text.startswith(said) for text in bos.notices)
    bare = make_plan(Request(model=str(tiny_models["gpt2"]), bos=False))
    assert bare.spec.template.length == 1
    assert not any("before each token" in text for text in bare.notices)
    for name in ("bert", "roberta", "xlmr"):
        assert not any("before each token" in text for text in make_plan(Request(model=str(tiny_models[name]))).notices)


def test_a_decoder_without_such_a_token_is_noted(tmp_path):
    folder = make_gpt2(tmp_path / "model")
    path = folder / "tokenizer.json"
    text = path.read_text(encoding="utf-8").replace("<|endoftext|>", "<|pad|>")
    path.write_text(text, encoding="utf-8")
    for each in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / each).is_file():
            settings = json.loads((folder / each).read_text())
            kept = {name: value for name, value in settings.items() if "token" not in name}
            (folder / each).write_text(json.dumps(kept))
    plan = make_plan(Request(model=str(folder)))
    assert plan.spec.template.length == 1
    assert any("has no token of the beginning" in text for text in plan.notices)


def test_the_command_line_looks_up_and_says_how(decoders, capsys):
    store, _ = decoders("llama")
    seen = ("--space", "isolated@1", "--in", "output")
    shown = call(capsys, "query", "king", "--store", store.path, *seen, "--json", "-k", 2)
    answer = json.loads(shown.out)
    assert (answer["space"], len(answer["results"])) == ("isolated@1", 2)
    assert answer["notes"] == [
        "vectors of isolated@1, looked up in output",
        "after the model's last norm, which states of this layer lack",
    ]
    tied, _ = decoders("gemma")
    shown = call(capsys, "query", "king", "--store", tied.path, "--space", "output,static", "--json")
    assert json.loads(shown.out)["space"] == "static"
    said = ["output is tied to static: the checkpoint holds no matrix of its own for it"]
    assert json.loads(shown.out)["notes"] == said


def test_info_says_what_the_tables_are(decoders, capsys):
    lines = call(capsys, "info", "--store", decoders("llama")[0].path).out
    assert re.search(r"static is +model.embed_tokens.weight \(F32\), and 7 rows without a token, as #id", lines)
    assert re.search(r"output is +lm_head.weight \(F32\)", lines)
    assert re.search(r"last norm +rms, model.norm.weight", lines)
    tied = call(capsys, "info", "--store", decoders("gemma")[0].path).out
    assert re.search(r"output +tied to static: the checkpoint holds no matrix of its own for it", tied)
    gpt2, plan = decoders("gpt2")
    shown = call(capsys, "info", "--store", gpt2.path)
    (first,) = plan.spec.template.prefix
    surface = gpt2.tokens.surfaces[gpt2.tokens.row_of_id(first)]
    assert re.search(rf"template +{re.escape(surface)} token", shown.out)


def test_tables_are_built_without_ray_and_without_a_replica(checkpoints, tmp_path):  # noqa: F811
    code = (
        "import sys, kotovec; kotovec.build(sys.argv[1], sys.argv[2], spaces='static,output'); "
        "print([name for name in ('ray', 'kotovec.workers.bert', 'faiss.index') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, checkpoints["t5"], tmp_path / "x.kotovec"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "'ray'" not in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["unnamed", "unnamed_id", "norm"])
def test_a_damaged_part_of_a_table_is_found_and_not_used(name, decoders, tmp_path):
    store, _ = decoders("llama")
    copy = tmp_path / "x.kotovec"
    shutil.copytree(store.path, copy)
    with h5py.File(copy / "spaces" / "output.h5", "r+") as file:
        file[name][0] = 1 + file[name][0]
    opened = Store.open(copy)
    assert [each for each in opened.verify() if name in each] == [
        f"spaces/output.h5: {name} (build it again with --overwrite)"
    ]
    with pytest.raises(DamagedError, match=f"{name} of output does not match its checksum"):
        opened.vectors.part(OUTPUT, name)
