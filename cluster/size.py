"""The size of a store before it is built: `kotovec build --dry-run` prints it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from kotovec.cluster.plan import Plan
from kotovec.workers import tokenizer as tokenizers

HEADERS = 1500  # bytes of an HDF5 file's headers, without its attributes
PROVENANCE = 4000  # bytes of the attributes of tokens.h5, most of them the settings and versions
RECORD = 450  # bytes of an index's record and its header


def store_bytes(plan: Plan) -> int:
    """Return the size in bytes of the complete store of a plan, within 1 % where it has thousands of tokens.

    Beside vectors and indexes there are norms, the table of tokens, and the tokenizer's files, which are written into
    a temporary folder to be measured: of a vocabulary of 250,000 tokens they take 17 MB.
    """
    tokens = plan.tokens
    norms = len(plan.spaces) * len(tokens) * 8
    table = tokens.ids.nbytes + tokens.kinds.nbytes + len(tokens.texts.block) + len(tokens.surfaces.block)
    if tokens.pieces is not None:
        table += tokens.pieces.offsets.nbytes + tokens.pieces.ids.nbytes
    headers = HEADERS * (len(plan.spaces) + 1) + PROVENANCE + 2 * RECORD
    return plan.vector_bytes + plan.index_bytes + norms + table + _tokenizer_bytes(plan) + headers


def _tokenizer_bytes(plan: Plan) -> int:
    with TemporaryDirectory() as folder:
        tokenizers.save_tokenizer(plan.tokenizer, Path(folder))
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
