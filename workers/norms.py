"""The norm after the last layer of a decoder: hidden states of earlier layers lack it, and logits need it."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kotovec.workers.ranges import Stored

_LAST = re.compile(r"(?:^|\.)(norm|ln_f|final_layer_norm|final_layernorm|norm_f|final_norm|ln_out|layer_norm)$")
_ELSEWHERE = re.compile(r"\d|vis|image|audio|embed|encoder|transform(?!er)|head|merger")
_EPSILONS = ("variance_epsilon", "eps", "epsilon")
_CLOSE = 1e-5


@dataclass(frozen=True)
class Norm:
    """A norm: x → (x − μ) ∕ √(σ² + ε) · weight + bias for `layer`, without μ for `rms`.

    Attributes:
        kind: `layer` or `rms`.
        epsilon: ε.
        offset: what is added to the stored weight: 1 in Gemma, 0 elsewhere.
        weight: the weight, (D,).
        bias: the bias, (D,); None without one.
    """

    kind: str
    epsilon: float
    offset: float
    weight: Stored
    bias: Stored | None


def find(model: Any, tensors: Mapping[str, Stored], size: int) -> Norm | None:
    """Return the norm after the last layer of a model; None where it has none, or one of another form.

    Which form a norm has, and what it adds to its weight, is found by computing with it: the names of classes do not
    say.

    Args:
        model: the model, on the meta device.
        tensors: the tensors of its checkpoint.
        size: number of dimensions of its output matrix.
    """
    for name, module in reversed(list(model.named_modules())):
        weight = getattr(module, "weight", None)
        if not _LAST.search(name) or _ELSEWHERE.search(name) or weight is None or tuple(weight.shape) != (size,):
            continue
        form = _form(module, size)
        stored = _stored(f"{name}.weight", tensors, size)
        if form is None or stored is None:
            return None
        bias = _stored(f"{name}.bias", tensors, size) if getattr(module, "bias", None) is not None else None
        return Norm(*form, stored, bias)
    return None


def _stored(name: str, tensors: Mapping[str, Stored], size: int) -> Stored | None:
    """Return the tensor of a parameter, whose name in a checkpoint may begin otherwise."""
    parts = name.split(".")
    for start in range(len(parts) - 1):
        end = ".".join(parts[start:])
        alike = [each for each in tensors if each == end or each.endswith(f".{end}")]
        found = [each for each in alike if tensors[each].shape == (size,) and not _ELSEWHERE.search(each)]
        if len(found) == 1:
            return tensors[found[0]]
    return None


def _form(module: Any, size: int) -> tuple[str, float, float] | None:
    """Return kind, epsilon and offset of a norm, by what it makes of a vector; None for any other form."""
    import torch

    epsilon = next(
        (float(getattr(module, name)) for name in _EPSILONS if getattr(module, name, None) is not None), None
    )
    if epsilon is None:
        return None
    with torch.no_grad():
        here = copy.deepcopy(module).to_empty(device="cpu").float()
        vector = torch.from_numpy(np.linspace(-1.0, 3.0, size, dtype=np.float32))[None]
        made = []
        for value in (0.0, 1.0):
            for each_name, parameter in here.named_parameters():
                parameter.fill_(value if each_name == "weight" else 0.0)
            made.append(here(vector)[0])
        offset = 1.0 if float(made[0].abs().max()) > _CLOSE else 0.0
        plain = made[0] if offset else made[1]
        centred = vector[0] - vector[0].mean()
        forms = {"rms": vector[0], "layer": centred}
        for kind, values in forms.items():
            if torch.allclose(plain, values * torch.rsqrt(values.pow(2).mean() + epsilon), atol=_CLOSE, rtol=_CLOSE):
                return kind, epsilon, offset
    return None
