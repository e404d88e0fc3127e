"""A model without its weights: its configs, and its tensors' names and shapes, each read once."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.architecture import Architecture, architecture_of, encoder_alone
from kotovec.workers.claims import CONFIGS, check
from kotovec.workers.foreign_code import naming_errors, own_code, refuse_code
from kotovec.workers.inventory import CONFIG, check_files, unreadable
from kotovec.workers.json_files import read_json_file
from kotovec.workers.source import Source, resolve
from kotovec.workers.tensors import Header, headers_in, unwrapped

_OR_TABLES = ", or build tables alone: --spaces static,output"
CORRECT = f"correct {CONFIG}, or update transformers"


@dataclass(frozen=True)
class Model:
    """A model without its weights: what a plan is made from.

    What needs transformers or torch is read when it is first asked for, and kept.

    Attributes:
        source: name, folder and revision of the model.
        config: contents of `config.json`; empty where there is none, which `pretrained_config` reports.
        tokenizer_config: contents of `tokenizer_config.json`; empty where there is none.
        config_hash: SHA-256 of `config.json`: with another one, the same weights give other vectors.
    """

    source: Source
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    config_hash: str

    @classmethod
    def find(cls, name: str, revision: str | None = None, *, tables: bool = False) -> "Model":
        """Find a model by the name that the user typed, and read its configs; with `tables`, leave weights on the Hub.

        Raises:
            MissingDependencyError, ModelNotFoundError: as `resolve`.
            ModelError: as `read`.
        """
        return cls.read(resolve(name, revision, tables=tables))

    @classmethod
    def read(cls, source: Source) -> "Model":
        """Read the configs in a model's folder, each once, and check what they claim.

        Raises:
            ModelError: one of them is not a JSON object, names a file that is not the model's, or claims an absurd
                number.
        """
        paths = [source.folder / name for name in CONFIGS]
        try:
            config, tokenizer_config = map(read_json_file, paths)
            check(source.folder, source.weights_name, config.content, tokenizer_config.content)
        except ModelError:
            check_files(filter(Path.is_file, paths))  # a link of Git LFS, or half of a download
            raise
        return cls(source, config.content, tokenizer_config.content, hashlib.sha256(config.data).hexdigest())

    @property
    def name(self) -> str:
        """Name of the model: the folder as the user typed it, or the id on the Hub."""
        return self.source.name

    @cached_property
    def code(self) -> Mapping[str, str]:
        """The model's own classes, by the class of transformers that each replaces."""
        return own_code(self.config, self.tokenizer_config)

    @cached_property
    def pretrained_config(self) -> Any:
        """The model's config as transformers loads it, of a model whose hidden states can be computed.

        Raises:
            ModelError: the config does not load, or belongs to a model that has no token-wise hidden states or needs
                its own code.
        """
        import transformers

        config = self.loaded_config
        if "AutoModel" in self.code and type(config) not in transformers.MODEL_MAPPING:
            raise refuse_code(self.name, self.code, "AutoModel")
        _check_encoder(self.name, config)
        return config

    @cached_property
    def loaded_config(self) -> Any:
        """The model's config as transformers loads it, of any architecture that it knows.

        Raises:
            ModelError: the config does not load.
        """
        import transformers

        transformers.utils.logging.set_verbosity_error()
        try:
            return transformers.AutoConfig.from_pretrained(self.source.folder, trust_remote_code=False)
        except Exception as error:  # transformers raises anything from OSError to KeyError here
            if "trust_remote_code" in str(error):
                raise refuse_code(self.name, self.code, "AutoConfig") from error
            reason, hint = _explain(self.config, error)
            raise ModelError(f"the config.json of {self.name} does not load: {reason}", hint=hint) from error

    @cached_property
    def described(self) -> Any:
        """The model's config, also of an architecture that transformers does not know: a plain one then.

        A table needs no more, and the tokenizer's class is all that is read of it.

        Raises:
            ModelError: as `loaded_config`, where not even a plain config can be made of it.
        """
        import transformers

        try:
            return self.loaded_config
        except ModelError as error:
            try:
                return transformers.PreTrainedConfig(**self.config)
            except Exception:  # noqa: BLE001 — a config may hold anything, and the first error says more
                raise error from error.__cause__

    @cached_property
    def architecture(self) -> Architecture | None:
        """The architecture by the config; None where kotovec's own forward pass cannot compute it.

        Raises:
            ModelError: as `pretrained_config`.
        """
        return architecture_of(self.pretrained_config)

    @cached_property
    def headers(self) -> Mapping[str, Header]:
        """Shapes and dtypes of the tensors in the weight files, by the model's names; no weights are read.

        Raises:
            ModelError: there are no weights, or a file is damaged.
        """
        from safetensors import SafetensorError

        headers: dict[str, Header] = {}
        with naming_errors(self.source):
            for path in self.source.weights():
                try:
                    headers |= headers_in([path])
                except (SafetensorError, OSError) as error:
                    raise unreadable(path, error) from error
            return unwrapped(headers)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the tensors in the weight files, by the model's names.

        Raises:
            ModelError: as `headers`.
        """
        return {name: header.shape for name, header in self.headers.items()}

    @property
    def dtypes(self) -> Mapping[str, str]:
        """Dtypes of the tensors in the weight files, by the model's names.

        Raises:
            ModelError: as `headers`.
        """
        return {name: header.dtype for name, header in self.headers.items()}

    @cached_property
    def parameters(self) -> int:
        """Number of parameters in the weight files (for .bin files, as if all were float32).

        Raises:
            ModelError: as `shapes`.
        """
        paths = self.source.weights()
        if all(path.suffix == ".safetensors" for path in paths):
            return sum(map(math.prod, self.shapes.values()))
        return sum(path.stat().st_size // 4 for path in paths)


def unknown_value(config: Mapping[str, Any], error: BaseException) -> str:
    """Return why a config does not load: the setting whose value an error names alone, or the error's own line."""
    value = error.args[0] if isinstance(error, KeyError) and error.args else None
    name = next((key for key, setting in config.items() if isinstance(value, str) and setting == value), None)
    return first_line(error) if name is None else f"transformers knows no {name} {value!r}, as its config.json says"


def _explain(config: Mapping[str, Any], error: BaseException) -> tuple[str, str]:
    """Return why transformers does not load a config, and the step that mends it."""
    kind = config.get("model_type")
    if kind == "model2vec" or config.get("architectures") == ["StaticModel"]:
        return "it is a StaticModel of model2vec, which has no hidden states", "choose the model it was distilled from"
    if kind is None and "model_type" in str(error):
        return "it names no model_type", 'add the type, such as "model_type": "bert"'
    if f"model type `{kind}`" in str(error):
        return f"transformers does not know the model_type `{kind}`", "update transformers, or choose another model"
    return unknown_value(config, error), CORRECT


def _check_encoder(name: str, config: Any) -> None:
    """Refuse a model that has no token-wise hidden states, by its config."""
    kind = config.model_type
    if isinstance(layers := getattr(config, "num_hidden_layers", None), dict):
        parts = ", ".join(map(str, layers))
        raise ModelError(f"{name} ({kind}) is a model of several parts ({parts})", hint="choose a text encoder")
    if config.is_encoder_decoder and encoder_alone(config) is None:
        raise ModelError(f"{name} is an encoder-decoder ({kind})", hint=f"choose an encoder such as BERT{_OR_TABLES}")
    if hasattr(config, "vision_config") or hasattr(config, "audio_config"):
        raise ModelError(f"{name} ({kind}) is a model of several modalities", hint=f"choose a text encoder{_OR_TABLES}")
    for wanted in ("vocab_size", "hidden_size", "num_hidden_layers"):
        if getattr(config, wanted, None) is None:
            raise ModelError(
                f"{name} ({kind}) has no {wanted}, so no token-wise hidden states", hint="choose a text encoder"
            )
