"""The plan: layers, shards and batches, what is counted and left out, settings, and requests that cannot be met."""

import dataclasses
import itertools
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kotovec.cluster.plan import BATCH_TOKENS, Request, cut, make_plan, parse_layers
from kotovec.errors import InputError, MissingDependencyError, ModelError, ModelNotFoundError
from kotovec.store.tokens import KINDS

from models import bert_vocabulary, make_bert

BATCH = BATCH_TOKENS["cpu"]


def plan_of(folder, **options):
    return make_plan(Request(model=str(folder), **options))


@given(st.integers(1, 48).flatmap(lambda depth: st.tuples(st.just(depth), st.sets(st.integers(0, depth), min_size=1))))
def test_layers_come_ascending_however_they_are_listed_and_counted(case):
    depth, layers = case
    from_the_end = [layer - depth - 1 for layer in layers]
    for listed in (layers, sorted(layers, reverse=True), from_the_end, [*layers, *from_the_end]):
        assert parse_layers(",".join(map(str, listed)), depth) == tuple(sorted(layers))


def test_the_words_for_layers():
    assert parse_layers("last", 12) == parse_layers("12", 12) == parse_layers("-1", 12) == (12,)
    assert parse_layers("all", 3) == (0, 1, 2, 3)
    assert parse_layers(" 1, 0 ", 3) == (0, 1)


@given(st.integers(1, 48), st.integers())
def test_a_layer_that_the_model_has_not_is_refused_with_those_it_has(depth, layer):
    if -depth - 1 <= layer <= depth:
        assert parse_layers(str(layer), depth) == (layer if layer >= 0 else depth + 1 + layer,)
    else:
        hint = f"choose `last`, `all`, or numbers from 0 to {depth}"
        with pytest.raises(InputError, match=rf"the model has the layers 0 to {depth}, not {layer}\nhint: {hint}$"):
            parse_layers(str(layer), depth)


@pytest.mark.parametrize("text", ["", "first", "1,", "0-2", "1.5", "last,0", "ALL"])
def test_layers_that_cannot_be_read_are_refused_with_an_example(text):
    with pytest.raises(
        InputError,
        match=r"--layers `.*` is not a list of layers\nhint: choose `last`, `all`, or numbers such as `0,1,12`$",
    ):
        parse_layers(text, 12)


@settings(deadline=None)  # 20,000 shards of two take a moment
@given(st.integers(1, 40_000), st.integers(2, 5_000))
def test_shards_and_batches_cover_every_row_once_and_no_batch_is_of_one(total, shard_tokens):
    shards = cut(total, shard_tokens, BATCH)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert (shards[0].start, shards[-1].stop) == (0, total)
    for one, following in itertools.pairwise(shards):
        assert one.stop == following.start
    for shard in shards:
        size = shard.stop - shard.start
        assert size <= max(3, shard_tokens)  # an odd number of rows in pairs needs one of three
        starts, stops = zip(*shard.batches, strict=True)
        assert (starts[0], stops[-1]) == (0, size)
        assert starts[1:] == stops[:-1]
        for start, stop in shard.batches:
            assert min(2, total) <= stop - start <= BATCH
    sizes = [stop - start for shard in shards for start, stop in shard.batches]
    assert len(set(sizes[:-2])) <= 1  # but for the rest, and who had to give it a row


@pytest.mark.parametrize(("total", "shard_tokens"), [(3, 2), (5, 2), (257, 256), (1025, 1024), (513, 1024)])
def test_no_remainder_of_one_is_left(total, shard_tokens):
    batches = [batch for shard in cut(total, shard_tokens, BATCH) for batch in shard.batches]
    assert min(stop - start for start, stop in batches) >= 2
    assert sum(stop - start for start, stop in batches) == total


def test_the_full_japanese_vocabulary_is_cut_into_even_shards_and_small_ones_at_the_end(tiny_models):
    plan = plan_of(tiny_models["japanese-v1"])
    assert len(plan.tokens) == 32_000
    batches = [len(shard.batches) for shard in plan.shards]
    assert set(batches[:-6]) == {4, 5}
    assert batches[-6:] == [4, 4, 2, 2, 1, 1]
    sizes = [stop - start for shard in plan.shards for start, stop in shard.batches]
    assert sizes == [BATCH] * (32_000 // BATCH) + [32_000 % BATCH]
    assert plan.spec.positions == 3 * BATCH
    for shard in (plan.shards[0], plan.shards[-2], plan.shards[-1]):
        found = [len(batch.ids) for batch in plan.inputs(shard).batches(plan.spec.positions)]
        assert found == [stop - start for start, stop in shard.batches]


@pytest.mark.parametrize(("total", "batches"), [(1, [1]), (960, [5]), (961, [4, 1, 1]), (3000, [5, 5, 2, 2, 1, 1])])
def test_a_small_vocabulary_is_one_shard_or_ends_in_small_ones(total, batches):
    assert [len(shard.batches) for shard in cut(total, 1024, BATCH)] == batches


def test_many_layers_make_smaller_shards_so_that_each_passes_through_memory(tiny_models, tmp_path):
    folder = make_bert(tmp_path / "wide", hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
    plan = plan_of(folder, layers="all")
    largest = max(shard.stop - shard.start for shard in plan.shards)
    assert 150 < largest <= plan.settings["shard-tokens"] < 400
    assert largest * (1 + 25) * 1024 * 4 <= 32 << 20
    assert plan_of(tiny_models["bert"], layers="all").settings["shard-tokens"] == 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, r"unknown --dtype `int8`\nhint: choose `float32`, `bfloat16` or `float16`$"),
        ({"store_dtype": "bfloat16"}, r"unknown --store-dtype `bfloat16`\nhint: choose `float32` or `float16`$"),
        ({"device": "tpu"}, r"unknown device `tpu`\nhint: choose `auto`, `cpu` or `cuda`$"),
        ({"token_filter": ("word", "verb")}, r"unknown --token-filter `verb`\nhint: choose `word`, `subword`"),
        ({"token_filter": ("byte",)}, r"no token of .* is of the kind byte\nhint: choose `word`, `subword`"),
        ({"token_filter": ()}, "no token of .* is of the kinds"),
        ({"shard_tokens": 1}, r"--shard-tokens is 1\nhint: use 2 or more$"),
        ({"layers": "3"}, "the model has the layers 0 to 2, not 3"),
        ({"mecab_dic": "ipadic"}, "does not use MeCab"),
    ],
)
def test_an_option_that_cannot_be_had_is_refused_in_one_line(options, message, tiny_models):
    with pytest.raises(InputError, match=message) as caught:
        plan_of(tiny_models["bert"], **options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_cuda_is_refused_where_torch_sees_no_gpu(tiny_models, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(
        InputError, match=r"--device cuda: torch sees no GPU here\nhint: use --device cpu, or --address of"
    ):
        plan_of(tiny_models["bert"], device="cuda")
    assert plan_of(tiny_models["bert"], device="auto").spec.device == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert plan_of(tiny_models["bert"], device="auto").spec.device == "cuda"


def test_cuda_is_planned_without_a_gpu_here_where_the_workers_run_on_a_cluster(tiny_models, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    plan = plan_of(tiny_models["bert"], device="cuda", on_cluster=True)
    assert plan.spec.device == plan.settings["device"] == "cuda"
    assert plan_of(tiny_models["bert"], device="auto", on_cluster=True).spec.device == "cpu"


@pytest.mark.parametrize(("gpus", "device"), [({}, "cpu"), ({"GPU": 0.0}, "cpu"), ({"GPU": 8.0}, "cuda")])
def test_auto_is_what_the_cluster_that_was_joined_has(gpus, device, tiny_models, monkeypatch, one_ray):
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0} | gpus)
    monkeypatch.setattr("torch.cuda.is_available", lambda: device == "cpu")
    assert plan_of(tiny_models["bert"], device="auto", on_cluster=True).spec.device == device


def test_threads_decide_bytes_and_so_are_a_setting(tiny_models):
    one, two = (plan_of(tiny_models["bert"], cpus_per_worker=threads) for threads in (1, 2))
    assert (one.spec.threads, two.spec.threads) == (1, 2)
    assert one.fingerprint != two.fingerprint
    with pytest.raises(InputError, match=r"--cpus-per-worker is 0\nhint: use 1 or more$"):
        plan_of(tiny_models["bert"], cpus_per_worker=0)


def test_where_the_workers_run_is_no_setting(tiny_models):
    """A build that was begun on a cluster can be ended at home."""
    here, there = (plan_of(tiny_models["bert"], device="cpu", on_cluster=place) for place in (False, True))
    assert here.settings == there.settings


def test_a_missing_faiss_is_found_before_the_model_is_looked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match="faiss"):
        make_plan(Request(model="no-such-owner/no-such-model"))


@pytest.mark.parametrize(
    ("file", "content", "kind", "message"),
    [
        ("config.json", None, ModelNotFoundError, r"holds weights \(model.safetensors\), and no config.json"),
        ("config.json", "{", ModelError, r"config.json is not JSON \(Expecting property name"),
        ("config.json", "{}", ModelError, "config.json of .* does not load"),
        ("config.json", '{"model_type": "unheard-of"}', ModelError, "config.json of .* does not load"),
        ("model.safetensors", None, ModelError, "has no weights"),
        ("tokenizer.json", None, ModelError, "has no tokenizer: neither tokenizer.json nor a vocab file"),
        ("tokenizer.json", "{", ModelError, "has no tokenizer that can be read: tokenizer.json is damaged"),
        ("tokenizer_config.json", "{", ModelError, "tokenizer_config.json is not JSON"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(file, content, kind, message, tmp_path, tiny_models):
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(kind, match=message) as caught:
        plan_of(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bert", "roberta", "xlmr", "gpt2", "japanese-v1"])
def test_weights_without_any_tokenizer_are_refused(name, tmp_path, tiny_models):
    """transformers 5 would make up a tokenizer of some five special tokens, and the store would hold those."""
    for file in ("config.json", "model.safetensors"):
        shutil.copy(tiny_models[name] / file, tmp_path)
    with pytest.raises(ModelError, match="has no tokenizer"):
        plan_of(tmp_path)


def test_the_token_filter_keeps_kinds_and_their_order(tiny_models):
    whole = plan_of(tiny_models["bert"])
    words = plan_of(tiny_models["bert"], token_filter=("subword", "word"))
    texts = [text for text in bert_vocabulary() if text and not (text.startswith("[") and text.endswith("]"))]
    assert list(words.tokens.texts) == texts
    assert (np.diff(words.tokens.ids) > 0).all()
    assert words.counts == whole.counts
    assert words.rows_without_token == 0


def test_tokens_are_counted_by_kind_before_the_filter(tiny_models):
    counts = plan_of(tiny_models["bert"], token_filter=("word",)).counts
    vocabulary = bert_vocabulary()
    assert counts["unused"] == 10
    assert counts["special"] == 5
    assert counts["empty"] == 1
    assert counts["subword"] == sum(text.startswith("##") for text in vocabulary)
    assert sum(counts.values()) == len(vocabulary)
    assert tuple(counts) == KINDS


def test_rows_without_a_token_and_tokens_without_a_row_are_left_out_and_counted(tiny_models):
    same = bert_vocabulary()
    rows, tokens = plan_of(tiny_models["bert-more-rows"]), plan_of(tiny_models["bert-more-tokens"])
    assert (rows.rows_without_token, rows.tokens_without_row, rows.spec.rows) == (7, 0, len(same) + 7)
    assert (tokens.rows_without_token, tokens.tokens_without_row) == (0, 3)
    for plan in (rows, tokens):
        assert list(plan.tokens.texts) == same
        assert plan.tokens.ids.tolist() == list(range(len(same)))


CHANGES = {
    "layers": {"layers": "0,2"},
    "dtype": {"dtype": "bfloat16"},
    "store-dtype": {"store_dtype": "float16"},
    "token-filter": {"token_filter": ("word",)},
    "mecab-dic": {"mecab_dic": "unidic_lite"},
    "shard-tokens": {"shard_tokens": 500},
}


@pytest.mark.parametrize("setting", CHANGES)
def test_each_option_changes_its_setting_and_the_fingerprint(setting, tiny_models):
    before = plan_of(tiny_models["japanese-v1"])
    after = plan_of(tiny_models["japanese-v1"], **CHANGES[setting])
    different = {name for name in before.settings if before.settings[name] != after.settings[name]}
    assert different == {setting} | ({"tokens"} if setting == "token-filter" else set())
    assert before.fingerprint != after.fingerprint


def test_the_same_request_gives_the_same_fingerprint_and_other_words_for_it_too(tiny_models):
    plan = plan_of(tiny_models["bert"], layers="all")
    assert plan.fingerprint == plan_of(tiny_models["bert"], layers="2,1,0,-1").fingerprint
    assert plan.fingerprint == plan_of(tiny_models["bert"], layers="all", token_filter=KINDS[::-1]).fingerprint
    assert len(plan.fingerprint) == 64
    json.dumps(plan.settings)  # it is written into every shard


@pytest.mark.parametrize("name", ["weights", "tokens", "template"])
def test_another_model_changes_the_fingerprint(name, tmp_path, tiny_models):
    before = plan_of(tiny_models["bert"])
    if name == "weights":
        folder = make_bert(tmp_path / "model", seed=1)
    elif name == "tokens":
        folder = make_bert(tmp_path / "model", vocabulary=[*bert_vocabulary()[:-1], "##other"])
    else:
        folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
        path = folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        tokenizer["post_processor"] = None
        path.write_text(json.dumps(tokenizer), encoding="utf-8")
        config = folder / "tokenizer_config.json"
        config.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}))
    after = plan_of(folder)
    assert before.settings[name] != after.settings[name]
    assert before.fingerprint != after.fingerprint


def test_where_the_folder_lies_and_what_it_is_called_changes_nothing(tmp_path, tiny_models):
    folder = shutil.copytree(tiny_models["bert"], tmp_path / "another name")
    assert plan_of(folder).fingerprint == plan_of(tiny_models["bert"]).fingerprint


def test_a_mecab_dictionary_that_was_assumed_is_told_from_one_that_was_given(tmp_path, tiny_models):
    folder = Path(shutil.copytree(tiny_models["japanese-v1"], tmp_path / "model"))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["mecab_kwargs"]
    path.write_text(json.dumps(config), encoding="utf-8")
    cases = [
        (plan_of(folder), "ipadic", True),
        (plan_of(folder, mecab_dic="ipadic"), "ipadic", False),
        (plan_of(tiny_models["japanese-v1"]), "ipadic", False),
        (plan_of(tiny_models["japanese-v3"]), "unidic_lite", False),
        (plan_of(tiny_models["bert"]), None, False),
    ]
    for plan, dictionary, assumed in cases:
        assert (plan.mecab_dic, plan.mecab_assumed) == (dictionary, assumed)


def test_a_vocabulary_that_its_tokenizer_rewrites_gives_a_notice(tiny_models):
    (notice,) = plan_of(tiny_models["vocabulary-alone"]).notices
    assert "4,105 words" in notice
    assert plan_of(tiny_models["japanese-v1"]).notices == ()


def test_the_sizes_it_promises_follow_from_the_model(tiny_models):
    plan = plan_of(tiny_models["bert"], layers="0,2", store_dtype="float16")
    tokens = len(bert_vocabulary())
    assert plan.vector_bytes == tokens * (32 * 4 + 2 * 32 * 2)
    assert plan.index_bytes == tokens * 64 * 4
    assert plan.shard_bytes(10) == 10 * 2 * 32 * 2
    assert plan.peak_bytes(tokens) == plan.vector_bytes + plan.index_bytes  # the indexes are larger than the shards
    assert plan.peak_bytes(0) == plan.vector_bytes + plan.index_bytes - plan.shard_bytes(tokens)
    assert plan.worker_bytes > dataclasses.replace(plan, parameters=0).worker_bytes
    assert plan.bounds == [(shard.start, shard.stop) for shard in plan.shards]


def test_other_files_beside_the_same_weights_make_another_fingerprint(tiny_models, tmp_path):
    """The config decides what the weights compute, the tokenizer how queries are read."""
    plans = {"none": make_plan(Request(model=str(tiny_models["bert"])))}
    for name, old, new in (
        ("config.json", '"gelu"', '"gelu_new"'),
        ("tokenizer.json", '"truncation": null', '"truncation":  null'),
    ):
        folder = tmp_path / name
        shutil.copytree(tiny_models["bert"], folder)
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
        plans[name] = make_plan(Request(model=str(folder)))
    assert len({plan.fingerprint for plan in plans.values()}) == 3
    same = plans["none"].settings
    differs = {name: [key for key in same if plan.settings[key] != same[key]] for name, plan in plans.items()}
    assert differs == {"none": [], "config.json": ["config"], "tokenizer.json": ["tokenizer"]}
