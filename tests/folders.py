"""Folders of a model that tests change, what is said of them, and hidden states beside those of transformers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kotovec.errors import InputError
from kotovec.workers import forward
from kotovec.workers.inputs import Inputs
from kotovec.workers.model import Model

from rays import plan_of

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path, tiny_models):
    return Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))


def change(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def only(folder, *names):
    """Leave nothing but these files, which are made where they are missing."""
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
    add(folder, *names)


def add(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def replaced(folder, *names):
    """Put other files in the place of the weights."""
    (folder / WEIGHTS).unlink()
    add(folder, *names)


def refusal(folder, work=Model.find):
    """Return the error's line and its hint, with the folder's own path as F."""
    with pytest.raises(InputError) as caught:
        work(str(folder))
    message, hint = str(caught.value), caught.value.hint
    assert "\n" not in message
    assert hint is None or "\n" not in hint
    return message.replace(str(folder), "F"), (hint or "").replace(str(folder), "F")


def states(folder, ids, layers):
    """Return the hidden states (L, n, D) of ids in the model's template, by the forward pass that a build takes."""
    plan = plan_of(folder, layers=",".join(map(str, layers)))
    spec = plan.spec
    loaded = forward.load(
        *(spec.source, spec.forward, spec.architecture, spec.names, spec.layers, spec.depth),
        *(96, torch.float32, "cpu", spec.tensor),
    )
    with torch.inference_mode():
        (batch,) = Inputs.isolated(np.array(ids), spec.template).batches(96)
        return np.stack([state.numpy()[np.argsort(batch.index)] for state in loaded.states(batch)]), plan


def reference(model, plan, ids, layers):
    """Return the same by transformers' own forward pass."""
    prefix, suffix = plan.spec.template.prefix, plan.spec.template.suffix
    inputs = torch.tensor([[*prefix, token_id, *suffix] for token_id in ids])
    with torch.inference_mode():
        found = model.eval()(inputs, output_hidden_states=True).hidden_states
    return np.stack([found[layer][:, len(prefix)].numpy() for layer in layers])
