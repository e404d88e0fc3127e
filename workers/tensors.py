"""The tensors of a checkpoint by name: their shapes without the weights, or mapped into memory."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


class AmbiguousNameError(ValueError):
    """Two tensors of a checkpoint have the same name without the prefix."""


def read_shapes(paths: Sequence[Path], prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in weight files, by their names without a head; no weights are read.

    Args:
        paths: safetensors or pickled files.
        prefix: prefix of the names in a checkpoint with a head, such as `bert.`.

    Raises:
        AmbiguousNameError: two tensors have the same name without the prefix.
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            shapes |= _each(path, lambda file, name: tuple(file.get_slice(name).get_shape()))
        else:
            tensors = _unpickle(path, "meta")
            shapes |= {name: tuple(tensor.shape) for name, tensor in tensors.items() if hasattr(tensor, "shape")}
    return _without(prefix, shapes)


def read_dtypes(paths: Sequence[Path]) -> dict[str, str]:
    """Return the dtypes of the tensors in weight files, by their names as they stand; no weights are read.

    Args:
        paths: safetensors or pickled files.

    Raises:
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    dtypes: dict[str, str] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            dtypes |= _each(path, lambda file, name: str(file.get_slice(name).get_dtype()))
        else:
            tensors = _unpickle(path, "meta")
            dtypes |= {
                name: str(tensor.dtype).removeprefix("torch.")
                for name, tensor in tensors.items()
                if hasattr(tensor, "dtype")
            }
    return dtypes


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
    tensors: dict[str, Any] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            tensors |= _each(path, lambda file, name: file.get_tensor(name))
        else:
            tensors |= _unpickle(path, "cpu")
    return _without(prefix, tensors)


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


def _each(path: Path, read: Callable[[Any, str], Any]) -> dict[str, Any]:
    """Return the result of `read` for each name in a safetensors file."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: read(file, name) for name in file.keys()}  # noqa: SIM118 — not a dictionary


def _unpickle(path: Path, device: str) -> dict[str, Any]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a script in place of the weights, which is refused
        try:
            tensors = torch.load(path, map_location=device, weights_only=True, mmap=True)
        except RuntimeError:  # a file from before torch 1.6, which cannot be mapped
            tensors = torch.load(path, map_location=device, weights_only=True)
    return dict(tensors)


def _without(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
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
