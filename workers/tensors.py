"""The tensors of a checkpoint by name: their shapes without the weights, or mapped into memory."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kotovec.errors import ModelError

_ALONE = "save the model's state dict in its place"


class AmbiguousNameError(ValueError):
    """Two tensors of a checkpoint have the same name without the prefix."""


class Header(NamedTuple):
    """The shape of a tensor, and its dtype as safetensors (`F32`) or torch (`float32`) names it."""

    shape: tuple[int, ...]
    dtype: str


def read_headers(paths: Sequence[Path]) -> dict[str, Header]:
    """Return shapes and dtypes of the tensors in weight files, by their names there; no weights are read.

    Args:
        paths: safetensors or pickled files.

    Raises:
        Exception: a file is damaged; safetensors and torch raise many types.
    """

    def header(file: Any, name: str) -> Header:
        part = file.get_slice(name)
        return Header(tuple(part.get_shape()), str(part.get_dtype()))

    return _read(paths, header, _unpickle_headers)


def names_in(path: Path) -> set[str]:
    """Return the names of the tensors in a weight file; no weights are read.

    Raises:
        Exception: the file is damaged; safetensors and torch raise many types.
    """
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        return set(_unpickle(path, "meta"))
    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def read_tensors(paths: Sequence[Path], prefix: str) -> dict[str, Any]:
    """Return the tensors of weight files by their names without a head.

    The tensors are mapped, not read: all workers of a machine share the memory of those that they do not change.

    Args:
        paths: safetensors or pickled files.
        prefix: prefix of the names in a checkpoint with a head, such as `bert.`.

    Raises:
        AmbiguousNameError: two tensors have the same name without the prefix.
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    return without_head(_read(paths, lambda file, name: file.get_tensor(name), _unpickle), prefix)


def read_tensor(paths: Sequence[Path], name: str) -> Any:
    """Return the tensor of this name in weight files, mapped, not read.

    Args:
        paths: safetensors or pickled files.
        name: the name in the files, with its prefix.

    Raises:
        KeyError: no file has such a tensor.
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    from safetensors import safe_open

    for path in paths:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 — not a dictionary
                    return file.get_tensor(name)
        elif name in (tensors := _unpickle(path, "cpu")):
            return tensors[name]
    raise KeyError(name)


def _read(
    paths: Sequence[Path], safe: Callable[[Any, str], Any], pickled: Callable[[Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the contents of weight files by name: `safe` of an open safetensors file and each name, or `pickled`."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                found |= {name: safe(file, name) for name in file.keys()}  # noqa: SIM118 — not a dictionary
        else:
            found |= pickled(path)
    return found


def _unpickle(path: Path, device: str = "cpu") -> dict[str, Any]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a script in place of the weights, which is refused
        try:
            tensors = torch.load(path, map_location=device, weights_only=True, mmap=True)
        except RuntimeError:  # a file from before torch 1.6, which cannot be mapped
            tensors = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(tensors, Mapping):
        raise ModelError(f"{path} holds a {type(tensors).__name__}, not tensors by name", hint=_ALONE)
    if not any(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        inner = next((name for name, value in tensors.items() if isinstance(value, Mapping) and value), None)
        if inner is not None:
            raise ModelError(f"{path} holds its tensors inside of `{inner}`", hint=f"save `{inner}` alone in its place")
        raise ModelError(f"{path} holds no tensors", hint=_ALONE)
    return dict(tensors)


def _unpickle_headers(path: Path) -> dict[str, Header]:
    tensors = {name: tensor for name, tensor in _unpickle(path, "meta").items() if hasattr(tensor, "shape")}
    return {
        name: Header(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in tensors.items()
    }


def without_head(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return tensors, or their shapes, by their names without a head.

    Args:
        tensors: tensors or shapes by their names in the weight files.
        prefix: prefix of the names in a checkpoint with a head, such as `bert.`.

    Raises:
        AmbiguousNameError: two tensors have the same name without the prefix.
    """
    known = dict(zip(_plain_names(prefix, tensors), tensors.values(), strict=True))
    if len(known) < len(tensors):
        raise AmbiguousNameError(f"names that differ only by {prefix}")
    return known


def _plain_names(prefix: str, names: Iterable[str]) -> list[str]:
    # Checkpoints that were converted from TensorFlow call the weight and bias of a norm gamma and beta.
    return [plain_name(prefix, name) for name in names]


def plain_name(prefix: str, name: str) -> str:
    """Return the name of a tensor without a head, as today's checkpoints have it."""
    return (
        name.removeprefix(prefix)
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias")
    )
