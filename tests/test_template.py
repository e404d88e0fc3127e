"""The space `template`: every token in the same sentence, against transformers' tokenizers and forward pass."""

import json
import re

import numpy as np
import pytest
import torch

import kotovec
from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import InputError, NotStoredError, SettingsDifferError
from kotovec.space import Space
from kotovec.store import Store
from kotovec.workers.encoder import Encoder

from commands import call
from rays import datasets, left_behind, run_build

SENTENCES = {
    "bert": "the {} is in the city.",
    "roberta": "the {} is in the city.",
    "xlmr": "the {} is in the city.",
    "gpt2": "the {} is in the city.",
    "japanese-v1": "東京の{}は大学です。",
    "japanese-v3": "東京の{}は大学です。",
}
ONCE = "write `{}` once, where the token stands"
# A token that stands for a word of its own in the sentence, as its vocabulary spells it.
TOKENS = {"roberta": "Ġking", "xlmr": "▁king", "gpt2": "Ġking", "japanese-v1": "王", "japanese-v3": "王"}


def plan_of(model, sentence, **options):
    return make_plan(Request(**({"model": str(model), "template": sentence, "device": "cpu"} | options)))


def sequence(plan, token_id):
    template = plan.spec.template
    return [*template.prefix, token_id, *template.suffix]


@pytest.mark.parametrize("name", SENTENCES)
def test_the_ids_are_those_of_the_whole_sentence(name, tiny_models):
    from transformers import AutoTokenizer

    plan, token = plan_of(tiny_models[name], SENTENCES[name]), TOKENS.get(name, "king")
    tokenizer = AutoTokenizer.from_pretrained(tiny_models[name])
    token_id = tokenizer.convert_tokens_to_ids(token)
    whole = tokenizer(SENTENCES[name].replace("{}", token.strip("Ġ▁")))["input_ids"]
    before = [tokenizer.convert_tokens_to_ids("<|endoftext|>")] if name == "gpt2" else []  # the sink of a decoder
    assert sequence(plan, token_id) == [*before, *whole]
    assert plan.settings["template"] != [list(plan.spec.template.prefix), list(plan.spec.template.suffix)]


def test_behind_the_token_sentencepiece_begins_no_word(tiny_models):
    """`です` behind a token is です, and not ▁です as at the beginning of a text."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["xlmr"])
    plan = plan_of(tiny_models["xlmr"], "の{}です")
    after = tokenizer.convert_ids_to_tokens(list(plan.spec.template.suffix))
    assert after == ["で", "す", "</s>"]
    assert tokenizer.tokenize("です")[0] == "▁"


@pytest.mark.parametrize("name", ["bert", "roberta", "xlmr", "gpt2", "japanese-v3"])
def test_the_vectors_are_those_of_transformers(name, tiny_models, tmp_path):
    from transformers import AutoModel

    folder, sentence = tiny_models[name], SENTENCES[name]
    plan = plan_of(folder, sentence, layers="all")
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with kotovec.build(str(folder), tmp_path / "x.kotovec", template=sentence, layers="all", workers=0) as store:
        assert [str(space) for space in store.spaces] == ["static", "template@0", "template@1", "template@2"]
        rows = np.arange(0, len(store), max(1, len(store) // 40))
        for row in rows.tolist():
            ids = torch.tensor([sequence(plan, int(store.tokens.ids[row]))])
            with torch.inference_mode():
                states = model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states
            for layer in range(3):
                found = store.vectors.array(Space("template", layer))[row]
                expected = states[layer][0, len(plan.spec.template.prefix)].numpy()
                np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


def test_one_store_holds_it_beside_isolated_and_any_number_of_workers_gives_the_same_bytes(
    tiny_models, employ, tmp_path
):
    employ(Encoder)
    folder, sentence, one, two = tiny_models["bert"], SENTENCES["bert"], tmp_path / "a.kotovec", tmp_path / "b.kotovec"
    run_build(make_plan(Request(model=str(folder), device="cpu")), one, 0)
    alone = datasets(one)
    summary, _ = run_build(plan_of(folder, sentence), one, 0)
    assert summary.encoded == summary.tokens
    both = datasets(one)
    assert {name: both[name] for name in alone} == alone
    assert left_behind(one) == []
    run_build(plan_of(folder, sentence, shard_tokens=64), two, 2)
    run_build(make_plan(Request(model=str(folder), device="cpu", shard_tokens=64)), two, 1)
    assert datasets(two) == both
    summary, _ = run_build(plan_of(folder, sentence), one, 0)
    assert summary.finished_before
    with Store.open(one) as store:
        assert [str(space) for space in store.spaces] == ["static", "isolated@2", "template@2"]
        assert store.verify() == []
        assert store.info()["sentence"] == sentence
        assert store.info()["provenance"]["template_prefix"] == [3]  # the model's own: [CLS]


def test_another_sentence_is_refused_for_any_layer(tiny_models, tmp_path):
    path = tmp_path / "x.kotovec"
    kotovec.build(str(tiny_models["bert"]), path, template="the {} is", workers=0).close()
    for layers in ("last", "1"):
        with pytest.raises(SettingsDifferError, match=re.escape("(the sentence of --template differs)")) as refused:
            kotovec.build(str(tiny_models["bert"]), path, template="a {} is", layers=layers, workers=0)
        assert refused.value.hint == "use --overwrite to build again, or --store to name another path"
    with kotovec.build(str(tiny_models["bert"]), path, template="the {} is", layers="1", workers=0) as store:
        assert [str(space) for space in store.spaces] == ["static", "template@1", "template@2"]


def test_words_of_a_list_stand_in_the_sentence(tiny_models, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    folder = tiny_models["bert"]
    words, path = ["king", "kings", "palaces"], tmp_path / "w.kotovec"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with kotovec.build(str(folder), path, words=words, template="the {} is in the city.", workers=0) as store:
        for row, word in enumerate(words):
            ids = torch.tensor([tokenizer(f"the {word} is in the city.")["input_ids"]])
            with torch.inference_mode():
                state = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].numpy()
            pieces = len(tokenizer.tokenize(word))
            expected = state[2 : 2 + pieces].mean(axis=0)
            found = store.vectors.array(Space("template", 2))[row]
            np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"template": "the king"}, "--template `the king` has no place for the token", ONCE),
        ({"template": "{} and {}"}, "--template `{} and {}` has 2 places for the token", ONCE),
        ({"template": " {} "}, "--template has nothing around the token",
         "leave it out: a token alone is the space `isolated`"),
        ({"template": "the {}", "spaces": "isolated"}, "--template makes the space `template`",
         "name it in --spaces, or leave out --template"),
        ({"template": "the {}", "spaces": "output"}, "--template makes the space `template`",
         "name it in --spaces, or leave out --template"),
        ({"spaces": "template"}, "the space `template` needs a sentence",
         "give a sentence with --template, with `{}` for the token"),
        ({"template": "Ж the {}"}, "the vocabulary cannot spell --template `Ж the {}`: a part of it becomes [UNK]",
         "write a sentence in the model's language"),
        ({"template": "the " * 64 + "{}"}, "a token in its template has 67 positions, and {model} has 66",
         "give --template a shorter sentence"),
    ],
)  # fmt: skip
def test_what_is_no_sentence_around_a_token_is_refused(options, message, hint, tiny_models):
    model = str(tiny_models["bert"])
    with pytest.raises(InputError) as refused:
        make_plan(Request(model=model, device="cpu", **options))
    assert (str(refused.value), refused.value.hint) == (message.replace("{model}", model), hint)


def test_commands_know_it(tiny_models, capsys, tmp_path):
    store = tmp_path / "x.kotovec"
    model, sentence = str(tiny_models["bert"]), SENTENCES["bert"]
    done = call(capsys, "build", model, "--store", store, "--template", sentence, "--workers", 0, "--quiet")
    assert (done.code, done.out) == (0, "")
    info = call(capsys, "info", "--store", store)
    assert "sentence   the {} is in the city." in info.out
    found = json.loads(
        call(capsys, "query", "king - man + woman", "--store", store, "--space", "template", "--json").out
    )
    assert found["space"] == "template@2"
    assert "template" in call(capsys, "norms", "king", "--store", store).out
    for command in (["map", "--sample", "30"], ["index", "--metric", "cosine"]):
        assert call(capsys, *command, "--store", store, "--space", "template").code == 0
    missing = call(capsys, "query", "king", "--store", store, "--space", "isolated")
    assert missing.code == NotStoredError.exit_code
    assert "isolated is not in this store: it holds static, template@2" in missing.err
