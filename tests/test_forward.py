"""The contract of a forward pass, which kotovec's own and transformers' fill alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from kotovec.workers import auto, bert, forward
from kotovec.workers.auto import Auto
from kotovec.workers.bert import Bert
from kotovec.workers.inputs import Inputs
from kotovec.workers.model import Model
from kotovec.workers.source import Source
from kotovec.workers.tokenizer import Template

LAYERS = (0, 1, 2)
CONTRACT = pytest.mark.parametrize("kind", [Bert, Auto])


@pytest.fixture
def load(tiny_models):
    """A function that loads one model as either kind of forward pass."""

    def load(kind, layers=LAYERS, dtype=torch.float32):
        model = Model.read(Source("bert", tiny_models["bert"]))
        name, architecture = (bert.FORWARD, model.architecture) if kind is Bert else (auto.forward_name(), None)
        loaded = forward.load(model.source, name, architecture, model.shapes, layers, 2, 192, dtype, "cpu", None)
        assert (type(loaded), loaded.name) == (kind, name)
        return loaded

    return load


def isolated():
    """Return one batch of 40 tokens alone in their template."""
    (batch,) = Inputs.isolated(np.arange(5, 45), Template((2,), (3,))).batches(192)
    assert (batch.ids.shape, batch.position) == ((40, 3), 1)
    return batch


def sentences():
    """Return one batch of sequences of 7 ids; of one, no position is wanted, of others one or several, in any order."""
    ids = np.random.default_rng(7).integers(5, 300, 21)
    (batch,) = Inputs(ids, np.arange(0, 22, 7), np.array([20, 0, 6, 14, 3])).batches(192)
    assert (batch.ids.shape, batch.position) == ((2, 7), None)
    return batch


def one_sequence():
    """Return one batch of one sequence, for which torch has another kernel."""
    (batch,) = Inputs(np.arange(10, 20), np.array([0, 10]), np.array([4, 9])).batches(192)
    return batch


def expected(folder, batch):
    """Return the hidden states of all layers at the wanted positions, (L + 1, k, D) float32, by transformers."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        states = model(torch.from_numpy(batch.ids), output_hidden_states=True).hidden_states
    return torch.stack([state[batch.rows, batch.positions] for state in states])


@CONTRACT
@pytest.mark.parametrize("make", [isolated, sentences, one_sequence])
@pytest.mark.parametrize("layers", [LAYERS, (0,), (1,), (2,), (0, 2)])
def test_states_are_those_of_the_wanted_layers_at_the_wanted_positions(kind, make, layers, load, tiny_models):
    batch = make()
    with torch.inference_mode():
        states = load(kind, layers).states(batch)
    assert [state.shape for state in states] == [(len(batch.rows), 32)] * len(layers)
    assert {(state.dtype, state.device.type) for state in states} == {(torch.float32, "cpu")}
    error = torch.stack(states) - expected(tiny_models["bert"], batch)[list(layers)]
    assert error.abs().max() <= 1e-5


@CONTRACT
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_have_the_dtype_of_the_computation(kind, dtype, load, tiny_models):
    batch = sentences()
    with torch.inference_mode():
        states = load(kind, dtype=dtype).states(batch)
    assert {state.dtype for state in states} == {dtype}
    error = torch.stack(states).float() - expected(tiny_models["bert"], batch)
    assert 0 < error.abs().max() <= 0.1


@CONTRACT
@pytest.mark.parametrize("make", [isolated, sentences])
def test_no_later_call_overwrites_states(kind, make, load):
    batch = make()
    model = load(kind)
    with torch.inference_mode():
        states = model.states(batch)
        before = [state.clone() for state in states]
        others = model.states(replace(batch, ids=np.where(batch.ids > 4, batch.ids + 1, batch.ids)))
    assert all(torch.equal(*pair) for pair in zip(states, before, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(states, others, strict=True))
