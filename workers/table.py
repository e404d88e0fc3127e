"""The input embedding matrix of a checkpoint: which tensor it is, decided without weights, and its rows in blocks.

The driver copies these rows itself: they need no forward pass, and no replica returns them.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError
from kotovec.workers import auto, tensors
from kotovec.workers.architecture import WORDS, Architecture
from kotovec.workers.foreign_code import naming_errors
from kotovec.workers.model import CORRECT, Model, unknown_value

BLOCK_BYTES = 8 << 20  # of float32 rows in memory at a time: 2,730 rows of BERT-base


@dataclass(frozen=True)
class Table:
    """The input embedding matrix of a model.

    Attributes:
        rows, size: shape of the matrix.
        tensor: name of the matrix in the weight files; None where names and shapes do not tell which tensor it is, so
            that transformers must load the whole model for it.
    """

    rows: int
    size: int
    tensor: str | None

    @property
    def origin(self) -> str:
        """Where the rows come from: the name of the tensor, or transformers with its version."""
        return self.tensor or auto.forward_name()


def find(model: Model, architecture: Architecture | None) -> Table:
    """Find the input embedding matrix by the config and by the names and shapes of the tensors.

    Args:
        model: the model.
        architecture: architecture of a BERT-like model, whose tensors have been checked; None for a model that
            transformers computes.

    Raises:
        ModelError: the weight files are damaged; the model takes no token ids, or does not have as many rows as its
            config says.
    """
    config, shapes = model.pretrained_config, model.shapes
    tensor: str | None
    if architecture is not None:
        tensor = WORDS if WORDS in shapes else architecture.prefix + WORDS
        rows, size = shapes[tensor]
    else:
        names, rows, size = _outline(model)
        known = [name for name in names if name in shapes]
        # transformers decides what it makes of two such tensors, or of a quantised one.
        plain = len(known) == 1 and getattr(config, "quantization_config", None) is None
        tensor = known[0] if plain and shapes[known[0]] == (rows, size) else None
    if rows != config.vocab_size:
        problem = f"{model.name} has {rows} embedding rows, its config.json says {config.vocab_size}"
        raise ModelError(problem, hint=CORRECT)
    return Table(rows, size, tensor)


def read(model: Model, table: Table, ids: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield rows of the matrix in blocks of at most `BLOCK_BYTES`, (n, size) float32; each takes the place of the last.

    A tensor is mapped, not read as a whole; numbers of half precision become float32 exactly.

    Args:
        model: the model.
        table: the matrix, from `find`.
        ids: (V,) numbers of the rows, in the order of the blocks.

    Raises:
        ModelError: the weights do not load.
    """
    import torch

    if table.tensor is None:
        matrix = auto.load_model(model.source, model.shapes).get_input_embeddings().weight.detach()
    else:
        with naming_errors(model.source):
            matrix = tensors.read_tensor(model.source.weights(), table.tensor)
    step = max(1, min(len(ids), BLOCK_BYTES // (4 * table.size)))
    # The C library does not reuse what torch frees here: with an array for each block, memory grew with the table.
    chosen, block = matrix.new_empty((step, table.size)), torch.empty((step, table.size))
    for start in range(0, len(ids), step):
        rows = torch.from_numpy(ids[start : start + step])
        torch.index_select(matrix, 0, rows, out=chosen[: len(rows)])
        yield block[: len(rows)].copy_(chosen[: len(rows)]).numpy()


def _outline(model: Model) -> tuple[tuple[str, ...], int, int]:
    """Return the names that the matrix may have in a checkpoint, and its shape, from a model without weights."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            outline = auto.outline(model.pretrained_config)
        except Exception as error:  # transformers raises anything here
            raise ModelError(
                f"{model.name} does not load: {unknown_value(model.config, error)}", hint=CORRECT
            ) from error
    auto.check_input(model.name, outline)
    try:
        matrix = outline.get_input_embeddings().weight
        rows, size = matrix.shape
    except (NotImplementedError, AttributeError, ValueError) as error:
        raise ModelError(f"{model.name} has no input embedding matrix", hint="choose a text encoder") from error
    names = [name for name, parameter in outline.named_parameters(remove_duplicate=False) if parameter is matrix]
    prefix = outline.base_model_prefix  # of a checkpoint with a head
    return (*names, *(f"{prefix}.{name}" for name in names if prefix)), rows, size
