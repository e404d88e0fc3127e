"""The tensors of a checkpoint by name: their shapes without the weights, or mapped into memory."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kotovec.errors import ModelError

_ALONE = "save the model's state dict in its place"
# Parts of a name that torch.compile, FSDP and activation checkpointing put in, anywhere; no model of transformers has
# such a part.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Before every name of a checkpoint: DataParallel, modules of Lightning, sentence-transformers.
_OUTER = ("module.", "model.", "net.", "0.auto_model.")
# Decoders of transformers have names in a `model.` of their own, which AutoModel reads.
_OWN = ("model.embed_tokens.", "model.layers.", "model.decoder.", "model.language_model.")


class AmbiguousNameError(ValueError):
    """Two tensors of a checkpoint have the same name without the prefix."""


class Header(NamedTuple):
    """The shape of a tensor, and its dtype as safetensors (`F32`) or torch (`float32`) names it."""

    shape: tuple[int, ...]
    dtype: str


def unwrapped(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint holds by the model's own names: without those of what it was wrapped in for training.

    Args:
        tensors: tensors, or what describes them, by their names in all weight files of a checkpoint.

    Returns:
        The same, in the same order, under the names in the files where two would be equal otherwise.
    """
    names = [".".join(part for part in name.split(".") if part not in WRAPPERS) for name in tensors]
    while prefix := next((each for each in _OUTER if _is_before(each, names)), ""):
        names = [name.removeprefix(prefix) for name in names]
    known = dict(zip(names, tensors.values(), strict=True))
    return known if len(known) == len(tensors) else dict(tensors)


def _is_before(prefix: str, names: Sequence[str]) -> bool:
    return bool(names) and all(name.startswith(prefix) and not name.startswith(_OWN) for name in names)


def read_headers(paths: Sequence[Path]) -> dict[str, Header]:
    """Return shapes and dtypes of the tensors of a checkpoint, by the model's names; no weights are read.

    Args:
        paths: all its weight files, safetensors or pickled.

    Raises:
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    return unwrapped(headers_in(paths))


def headers_in(paths: Sequence[Path]) -> dict[str, Header]:
    """Return shapes and dtypes of the tensors in some weight files, by their names there; no weights are read.

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
    """Return the tensors of a checkpoint by the model's names, without a head.

    The tensors are mapped, not read: all workers of a machine share the memory of those that they do not change.

    Args:
        paths: all its weight files, safetensors or pickled.
        prefix: prefix of the names in a checkpoint with a head, such as `bert.`.

    Raises:
        AmbiguousNameError: two tensors have the same name without the prefix.
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    return without_head(unwrapped(_tensors_in(paths)), prefix)


def read_tensor(paths: Sequence[Path], name: str) -> Any:
    """Return one tensor of a checkpoint, mapped, not read.

    Args:
        paths: all its weight files, safetensors or pickled.
        name: the model's name of it, with the prefix of a checkpoint with a head.

    Raises:
        KeyError: there is no such tensor.
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    from safetensors import safe_open

    name = unwrapped({each: each for path in paths for each in names_in(path)})[name]
    for path in paths:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 — not a dictionary
                    return file.get_tensor(name)
        elif name in (tensors := _unpickle(path)):
            return tensors[name]
    raise KeyError(name)


def rewritten(paths: Sequence[Path]) -> dict[str, Any] | None:
    """Return the tensors of a checkpoint that transformers would not find, by the model's names; None for any other.

    They are named for a wrapper, or stand in a mapping inside of the file's own. Tensors are mapped, not read.

    Args:
        paths: all its weight files, safetensors or pickled.

    Raises:
        Exception: a file is damaged; safetensors and torch raise many types.
    """
    stored = headers_in(paths)
    inside = any(path.suffix != ".safetensors" and _state_dicts(_load(path, "meta")) for path in paths)
    return unwrapped(_tensors_in(paths)) if inside or unwrapped(stored).keys() != stored.keys() else None


def _tensors_in(paths: Sequence[Path]) -> dict[str, Any]:
    return _read(paths, lambda file, name: file.get_tensor(name), _unpickle)


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
    """Return the tensors by name that a pickled file holds, itself or in the one state dict inside of it."""
    import torch

    stored = _load(path, device)
    inside = _state_dicts(stored)
    if len(inside) > 1:
        named = ", ".join(map(str, inside))
        raise ModelError(
            f"{path} holds {len(inside)} state dicts ({named})", hint="save one of them alone in its place"
        )
    if not inside and not any(isinstance(tensor, torch.Tensor) for tensor in stored.values()):
        raise ModelError(f"{path} holds no tensors by name", hint=_ALONE)
    return dict(inside.popitem()[1] if inside else stored)


def _state_dicts(stored: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the state dicts inside of a file's mapping; beside them stand an epoch, settings, an optimizer's state.

    The states of random number generators are tensors by name, too, but of bytes.
    """
    import torch

    return {
        name: each
        for name, each in stored.items()
        if isinstance(each, Mapping)
        and all(isinstance(key, str) and isinstance(tensor, torch.Tensor) for key, tensor in each.items())
        and any(tensor.is_floating_point() for tensor in each.values())
    }


def _load(path: Path, device: str) -> Mapping[str, Any]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a script in place of the weights, which is refused
        try:
            stored = torch.load(path, map_location=device, weights_only=True, mmap=True)
        except RuntimeError:  # a file from before torch 1.6, which cannot be mapped
            stored = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(stored, Mapping):
        raise ModelError(f"{path} holds a {type(stored).__name__}, not tensors by name", hint=_ALONE)
    return stored


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
