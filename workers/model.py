"""A model without its weights: its configs, and its tensors' names and shapes, each read once."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.architecture import Architecture, architecture_of
from kotovec.workers.claims import CONFIGS, check
from kotovec.workers.foreign_code import naming_errors, own_code, refuse_code
from kotovec.workers.json_files import DOWNLOAD, read_json_file
from kotovec.workers.source import Source, resolve
from kotovec.workers.tensors import Header, read_headers


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
    def find(cls, name: str, revision: str | None = None) -> "Model":
        """Find a model by the name that the user typed, and read its configs.

        Raises:
            MissingDependencyError, ModelNotFoundError: as `resolve`.
            ModelError: as `read`.
        """
        return cls.read(resolve(name, revision))

    @classmethod
    def read(cls, source: Source) -> "Model":
        """Read the configs in a model's folder, each once, and check what they claim.

        Raises:
            ModelError: one of them is not a JSON object, names a file that is not the model's, or claims an absurd
                number.
        """
        config, tokenizer_config = (read_json_file(source.folder / name) for name in CONFIGS)
        check(source.folder, source.weights_name, config.content, tokenizer_config.content)
        return cls(source, config.content, tokenizer_config.content, hashlib.sha256(config.data).hexdigest())

    @property
    def name(self) -> str:
        """Name of the model as the user typed it."""
        return self.source.name

    @cached_property
    def code(self) -> Mapping[str, str]:
        """The model's own classes, by the class of transformers that each replaces."""
        return own_code(self.config, self.tokenizer_config)

    @cached_property
    def pretrained_config(self) -> Any:
        """The model's config as transformers loads it.

        Raises:
            ModelError: the config does not load, or belongs to a model that has no token-wise hidden states or needs
                its own code.
        """
        import transformers

        transformers.utils.logging.set_verbosity_error()
        try:
            config = transformers.AutoConfig.from_pretrained(self.source.folder, trust_remote_code=False)
        except Exception as error:  # transformers raises anything from OSError to KeyError here
            if "trust_remote_code" in str(error):
                raise refuse_code(self.name, self.code, "AutoConfig") from error
            reason = first_line(error)
            raise ModelError(f"the config.json of {self.name} does not load: {reason}") from error
        if "AutoModel" in self.code and type(config) not in transformers.MODEL_MAPPING:
            raise refuse_code(self.name, self.code, "AutoModel")
        _check_encoder(self.name, config)
        return config

    @cached_property
    def architecture(self) -> Architecture | None:
        """The architecture by the config; None where kotovec's own forward pass cannot compute it.

        Raises:
            ModelError: as `pretrained_config`.
        """
        return architecture_of(self.pretrained_config)

    @cached_property
    def headers(self) -> Mapping[str, Header]:
        """Shapes and dtypes of the tensors in the weight files, by their names there; no weights are read.

        Raises:
            ModelError: there are no weights, or a file is damaged.
        """
        from safetensors import SafetensorError

        headers: dict[str, Header] = {}
        with naming_errors(self.source):
            for path in self.source.weights():
                try:
                    headers |= read_headers([path])
                except (SafetensorError, OSError) as error:
                    if path.suffix != ".safetensors":
                        raise
                    raise ModelError(f"{path} is damaged ({error})", hint=DOWNLOAD) from error
        return headers

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the tensors in the weight files, by their names there.

        Raises:
            ModelError: as `headers`.
        """
        return {name: header.shape for name, header in self.headers.items()}

    @property
    def dtypes(self) -> Mapping[str, str]:
        """Dtypes of the tensors in the weight files, by their names there.

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


def _check_encoder(name: str, config: Any) -> None:
    """Refuse a model that has no token-wise hidden states, by its config."""
    kind = config.model_type
    if config.is_encoder_decoder:
        raise ModelError(f"{name} is an encoder-decoder ({kind})", hint="choose an encoder such as BERT")
    if hasattr(config, "vision_config") or hasattr(config, "audio_config"):
        raise ModelError(f"{name} ({kind}) is a model of several modalities", hint="choose a text encoder")
    for wanted in ("vocab_size", "hidden_size", "num_hidden_layers"):
        if getattr(config, wanted, None) is None:
            raise ModelError(
                f"{name} ({kind}) has no {wanted}, so no token-wise hidden states", hint="choose a text encoder"
            )
