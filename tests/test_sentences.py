"""Sentences of any length, of which any positions are wanted, against transformers' own forward pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import InputError
from kotovec.workers.auto import Auto
from kotovec.workers.bert import Bert
from kotovec.workers.encoder import Encoder
from kotovec.workers.inputs import Inputs

from models import make_bert, make_gpt2, make_roberta, make_xlmr
from test_encoder import isolated, relative_errors

LONGEST = 128
MAKE = {"bert": make_bert, "roberta": make_roberta, "xlmr": make_xlmr, "gpt2": make_gpt2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, minilm):
    """Return models that have 128 positions, by name; RoBERTa's begin behind `<pad>`."""
    made = {"minilm": minilm}
    for name, make in MAKE.items():
        positions = {"n_positions": LONGEST} if name == "gpt2" else {"max_position_embeddings": LONGEST + 2}
        made[name] = make(tmp_path_factory.mktemp(name) / "model", **positions)
    return made


def encoder_of(folder, layers="all", **changes):
    return Encoder(replace(make_plan(Request(model=str(folder), layers=layers)).spec, **changes))


def sentences_of(spec, lengths, seed=5):
    """Return random sentences in the model's template, `<pad>` among them, and one to five positions of each."""
    rng = np.random.default_rng(seed)
    prefix, suffix = spec.template.prefix, spec.template.suffix
    sentences, wanted = [], []
    for number, length in enumerate(lengths):
        middle = rng.integers(0, spec.rows, length - len(prefix) - len(suffix))
        sentences.append(np.array([*prefix, *middle, *suffix]))
        chosen = rng.choice(length, min(length, int(rng.integers(1, 6))), replace=False)
        wanted += [(number, int(position)) for position in chosen]
    rng.shuffle(wanted)
    return sentences, wanted


def inputs_of(sentences, wanted):
    offsets = np.cumsum([0, *map(len, sentences)])
    return Inputs(np.concatenate(sentences), offsets, np.array([offsets[one] + place for one, place in wanted]))


def hidden_states(folder, sentences):
    """Return (L + 1, T, D) float32 for each sentence, by transformers, one at a time."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    with torch.inference_mode():
        for ids in sentences:
            sequence = torch.from_numpy(ids)[None]
            output = model(sequence, attention_mask=torch.ones_like(sequence), output_hidden_states=True)
            layers = [*output.hidden_states[:-1], output.last_hidden_state]
            found.append(torch.stack([state[0] for state in layers]).numpy())
    return found


@pytest.mark.parametrize("name", ["bert", "roberta", "xlmr", "gpt2", "minilm"])
def test_every_layer_of_any_position_equals_transformers(name, folders):
    encoder = encoder_of(folders[name])
    lengths = [3, 3, 4, 5, 5, 5, 5, 8, 12, 15, 16, 17, 31, 33, 64, 64, 64, 100, 127, LONGEST]
    sentences, wanted = sentences_of(encoder.spec, lengths)
    result = encoder.encode(4, inputs_of(sentences, wanted))
    assert type(encoder._model) is (Auto if name == "gpt2" else Bert)
    assert list(result.arrays) == [f"isolated@{layer}" for layer in range(encoder.spec.depth + 1)]
    states = hidden_states(folders[name], sentences)
    for layer in range(encoder.spec.depth + 1):
        expected = np.stack([states[one][layer, place] for one, place in wanted])
        found = result.arrays[f"isolated@{layer}"]
        assert found.shape == expected.shape
        assert relative_errors(found, expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("layers", "names"), [("1", {"isolated@1"}), ("0", {"isolated@0"}), ("0,2", {"isolated@0", "isolated@2"})]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_some_layers_alone_are_those_of_all(layers, names, dtype, folders):
    every = encoder_of(folders["bert"])
    sentences, wanted = sentences_of(every.spec, [3, 9, 9, 40])
    inputs = inputs_of(sentences, wanted)
    whole = every.encode(0, inputs).arrays
    some = encoder_of(folders["bert"], layers, dtype=dtype).encode(0, inputs).arrays
    assert some.keys() == names
    for name in names:
        assert relative_errors(some[name], whole[name]).max() <= (1e-6 if dtype == "float32" else 3e-2)


@pytest.mark.parametrize("name", ["bert", "roberta", "minilm"])
def test_a_sentences_bits_do_not_depend_on_its_batch(name, folders):
    """Alone, among others of its length, or of other lengths; with few wanted positions in the batch, or many."""
    encoder = encoder_of(folders[name])
    sentences, wanted = sentences_of(encoder.spec, [5] * 30 + [17] * 40 + [64] * 11 + [LONGEST] * 3)
    whole = encoder.encode(0, inputs_of(sentences, wanted)).arrays
    rng = np.random.default_rng(9)
    for chosen in ([0], [29, 30], [70], [83], rng.permutation(len(sentences))[:40].tolist()):
        kept = [index for index, (one, _) in enumerate(wanted) if one in chosen]
        pairs = [(chosen.index(wanted[index][0]), wanted[index][1]) for index in kept]
        some = encoder.encode(0, inputs_of([sentences[one] for one in chosen], pairs)).arrays
        for space, array in some.items():
            np.testing.assert_array_equal(array, whole[space][kept])


def test_a_position_that_is_wanted_twice_comes_twice(folders):
    encoder = encoder_of(folders["bert"])
    sentences, _ = sentences_of(encoder.spec, [7, 9])
    found = encoder.encode(0, inputs_of(sentences, [(1, 2), (0, 3), (1, 2)])).arrays["isolated@2"]
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize("name", ["bert", "roberta", "minilm"])
def test_a_token_alone_is_the_same_as_a_sentence_of_its_template(name, folders):
    """The two ways of the forward pass, which differ in their last bits alone."""
    encoder = encoder_of(folders[name])
    ids = np.arange(60)
    alone = Inputs.isolated(ids, encoder.spec.template)
    sentences = Inputs(alone.ids, alone.offsets, alone.wanted)
    found = encoder.encode(0, sentences).arrays
    for layer, expected in enumerate(isolated(encoder, ids).isolated):
        assert relative_errors(found[f"isolated@{layer}"], expected).max() <= 1e-5


def test_the_space_may_have_another_name(folders):
    encoder = encoder_of(folders["bert"], "0,2", space="context")
    assert encoder.spec.spaces == ("context@0", "context@2")
    sentences, wanted = sentences_of(encoder.spec, [6, 8])
    assert list(encoder.encode(0, inputs_of(sentences, wanted)).arrays) == ["context@0", "context@2"]


@pytest.mark.parametrize(("name", "longest"), [("bert", 130), ("roberta", 128)])
def test_a_sentence_that_is_longer_than_the_models_positions_is_refused(name, longest, folders):
    encoder = encoder_of(folders[name])
    ids = np.full(longest + 1, 7)
    encoder.encode(0, inputs_of([ids[1:]], [(0, 1)]))
    said = rf"^a sequence has {longest + 1} tokens, but the model has {longest} positions$"
    with pytest.raises(InputError, match=said):
        encoder.encode(0, inputs_of([ids], [(0, 1)]))
