"""The forward pass of any encoder, computed by transformers' AutoModel."""

import contextlib
import importlib.metadata
import os
import warnings
from collections.abc import Collection, Sequence
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.architecture import encoder_alone
from kotovec.workers.devices import to_device
from kotovec.workers.foreign_code import refuse_code, unloadable
from kotovec.workers.inputs import Batch
from kotovec.workers.model import Model
from kotovec.workers.source import Source
from kotovec.workers.tensors import read_headers, read_tensor, rewritten
from kotovec.workers.unread import check_tensors, refuse_lacking

# No token-wise hidden state depends on these parameters: a checkpoint may lack them.
_UNUSED_PARTS = ("pooler", "position_ids", "lm_head", "cls.")
_TIED = "tie_word_embeddings"
# Names of output matrices, which may be tied to the input.
_OUTPUTS = ("lm_head.weight", "lm_head.decoder.weight", "predictions.decoder.weight", "embed_out.weight")
_COMPARED = 1024  # rows at a time, as a matrix of half precision takes twice its memory in float32
# transformers takes their kernels without being asked.
_PLUGINS = ("apex", "causal-conv1d", "flash-linear-attention", "kernels", "mamba-ssm", "natten")


def forward_name() -> str:
    """Return the name of this code, with its version, as another version may compute other last bits.

    Packages by which transformers computes some models where they are installed are a part of it.
    """
    import transformers

    names = [f"transformers {transformers.__version__}, AutoModel"]
    for package in _PLUGINS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            names.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(names)


class Auto:
    """A model as transformers loads it.

    Attributes:
        name: name of the code that computes.
        rows: number of rows of the input embedding matrix.

    Raises:
        ModelError: the weights are damaged, belong to another architecture, or the model takes no token ids;
            transformers makes another input embedding matrix of them than the driver copies.
    """

    def __init__(
        self,
        source: Source,
        names: Collection[str],
        layers: Sequence[int],
        depth: int,
        dtype: Any,
        device: str,
        tensor: str | None,
    ) -> None:
        """Load the model.

        Args:
            source: the model.
            names: names of the tensors in the weight files.
            layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
            depth: number of the model's last layer.
            dtype: torch dtype of the computation.
            device: `cpu` or `cuda`.
            tensor: name of the input embedding matrix in the weight files, where the driver copies it from there.
        """
        self.name = forward_name()
        self._model_name, self._layers, self._depth, self._device = source.name, tuple(layers), depth, device
        model = load_model(source, names)
        matrix = model.get_input_embeddings().weight.detach()
        self.rows = len(matrix)
        if tensor is not None and not _equal(matrix, read_tensor(source.weights(), tensor)):
            raise ModelError(
                f"transformers changes {tensor} as it loads {source.name}, so its static vectors are not that tensor's "
                "rows",
                hint="open an issue that names this model",
            )
        self._model = model.to(dtype=dtype, device=device)

    def states(self, batch: Batch) -> list[Any]:
        """Return the wanted layers' hidden states at the wanted positions.

        Args:
            batch: b sequences of one length, of which k positions are wanted.

        Returns:
            An array (k, D) for each layer, in the dtype of the computation.

        Raises:
            ModelError: the model gives no token-wise hidden states.
        """
        import torch

        inputs = to_device(batch.ids, self._device)
        if len(inputs) == 1:  # torch has another kernel for one sequence, with other last bits
            inputs = inputs.expand(2, -1)
        inner = [layer for layer in self._layers if layer != self._depth]
        # All ones, whatever the ids: without a mask, some models would mask <pad> themselves.
        mask = torch.ones_like(inputs)
        try:
            output = self._model(input_ids=inputs, attention_mask=mask, output_hidden_states=bool(inner))
        except (ValueError, TypeError, AttributeError, NotImplementedError) as error:  # it wants boxes, or images
            raise ModelError(
                f"{self._model_name} cannot compute tokens alone ({first_line(error)})", hint="choose a text encoder"
            ) from error
        last = getattr(output, "last_hidden_state", None)
        if last is None or last.ndim != 3 or last.shape[:2] != inputs.shape:  # noqa: PLR2004 — (batch, length, D)
            raise ModelError(
                f"{self._model_name} gives no token-wise hidden states", hint="choose an encoder such as BERT"
            )
        if inner and len(output.hidden_states) != self._depth + 1:
            raise ModelError(
                f"{self._model_name} gives {len(output.hidden_states)} hidden states, not {self._depth + 1}",
                hint="use --layers last",
            )
        size = int(self._model.config.hidden_size)
        for layer in self._layers:
            width = last.shape[2] if layer == self._depth else output.hidden_states[layer].shape[2]
            if width != size:
                raise ModelError(
                    f"layer {layer} of {self._model_name} has {width} dimensions, its config.json says {size}",
                    hint="choose other layers with --layers",
                )
        states = [last if layer == self._depth else output.hidden_states[layer] for layer in self._layers]
        return [state[batch.rows, batch.positions] for state in states]


def _equal(matrix: Any, tensor: Any) -> bool:
    """Return whether a float32 matrix has the bits of a tensor, which may have half precision; NaN equals itself."""
    import torch

    parts = zip(matrix.split(_COMPARED), tensor.split(_COMPARED), strict=True)
    return matrix.shape == tensor.shape and all(
        torch.equal(loaded.view(torch.int32), stored.float().view(torch.int32)) for loaded, stored in parts
    )


def check_input(name: str, model: Any) -> None:
    """Refuse a model that transformers gives something other than token ids.

    Raises:
        ModelError: it is such a model.
    """
    if model.main_input_name != "input_ids":
        raise ModelError(f"{name} takes {model.main_input_name}, not tokens", hint="choose a text encoder")


def load_model(source: Source, names: Collection[str]) -> Any:
    """Load a model in float32, in evaluation mode.

    Args:
        source: the model.
        names: names of the tensors in the weight files.

    Raises:
        ModelError: the weights are damaged, belong to another architecture, or the model takes no token ids.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    described = Model.read(source)
    try:
        # Old checkpoints warn about a missing pooler, which is not used.
        with warnings.catch_warnings(), open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # noqa: PTH123
            warnings.simplefilter("ignore")
            options = {"dtype": torch.float32, "weights_only": True, "output_loading_info": True}
            options["ignore_mismatched_sizes"] = True  # they are refused below, with both shapes
            config, tensors = described.pretrained_config, rewritten(source.weights())
            if tensors is None:
                kind = encoder_alone(config) or transformers.AutoModel
                model, report = kind.from_pretrained(source.folder, trust_remote_code=False, **options)
            else:
                with torch.device("meta"):
                    kind = type(outline(config))
                model, report = kind.from_pretrained(
                    None, config=config, state_dict=tensors, trust_remote_code=False, **options
                )
    except ModelError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise refuse_code(source.name, described.code, "AutoModel") from error
        raise unloadable(source, error) from error
    check_input(source.name, model)
    if report["mismatched_keys"]:
        name, stored, wanted = min(report["mismatched_keys"])
        raise ModelError(
            f"the weights of {source.name} hold {name} as {tuple(stored)}, its config.json says {tuple(wanted)}",
            hint="check that its config.json is not that of another model",
        )
    missing = {name for name in report["missing_keys"] if not any(part in name for part in _UNUSED_PARTS)}
    tied = described.config.get(_TIED) is not False and getattr(model.config, _TIED, False)
    if missing and not (tied and _tie(source, model, missing)):
        raise refuse_lacking(source, missing, names)
    parts = {name for name, _ in (*model.named_children(), *model.named_parameters(recurse=False))}
    check_tensors(source, report["unexpected_keys"], names, f"{model.base_model_prefix}.", parts)
    return model.eval()


def outline(config: Any) -> Any:
    """Return a model without weights, on the current device."""
    import transformers

    own = encoder_alone(config)
    return own._from_config(config) if own else transformers.AutoModel.from_config(config, trust_remote_code=False)  # noqa: SLF001


def _tie(source: Source, model: Any, missing: Collection[str]) -> bool:
    """Fill an input embedding matrix that a checkpoint holds under the output's name alone; return whether it did.

    Programs that save one of two tied matrices keep either; transformers' AutoModel has no output, and would not find
    the input.
    """
    import torch

    matrix = model.get_input_embeddings().weight
    own = {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is matrix}
    if not set(missing) <= own:
        return False
    found = [
        name
        for name, header in read_headers(source.weights()).items()
        if name.endswith(_OUTPUTS) and header.shape == tuple(matrix.shape)
    ]
    if len(found) != 1:
        return False
    with torch.no_grad():
        matrix.copy_(read_tensor(source.weights(), found[0]))
    return True
