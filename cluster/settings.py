"""The settings of a build: everything that decides its bytes, by the names that errors about them use."""

import hashlib
from collections.abc import Sequence
from typing import Any

from kotovec.cluster.listing import Listing
from kotovec.cluster.replica import BATCH_POSITIONS, MOST_SENTENCES, SHARD_POSITIONS, SUM_BYTES
from kotovec.store.hdf5 import FORMAT_VERSION
from kotovec.store.tokens import KINDS
from kotovec.workers import source as sources
from kotovec.workers.encoder import ReplicaSpec
from kotovec.workers.model import Model
from kotovec.workers.table import Table

# Settings that only describe where a build ran: a complete store does not count as different because of them.
ENVIRONMENT = ("device", "batch-tokens", "positions", "cpus-per-worker", "torch", "forward", "static", "output")
# Settings of the table of tokens; the others belong to the spaces.
OF_TOKENS = ("weights", "config", "tokenizer", "token-filter", "tokens", "template", "mecab-dic", "words", "pooling")
OF_TABLE = ("format",)  # the vectors of a table depend on no other setting but the one of its own name


def tokens(model: Model, kinds: Sequence[str], listing: Listing) -> dict[str, Any]:
    """Return the settings of the table of tokens, but for what identifies the weights.

    Args:
        model: the model.
        kinds: the wanted kinds of tokens.
        listing: its tokens.
    """
    digest = hashlib.sha256(listing.tokens.ids.tobytes())
    digest.update(listing.tokens.texts.block[1:].replace(b"\0", b"\n"))
    return {
        "format": FORMAT_VERSION,
        "config": model.config_hash,
        "tokenizer": sources.hash_tokenizer(model.source),
        "token-filter": ",".join(sorted(set(kinds), key=KINDS.index)),
        "tokens": digest.hexdigest(),
        "template": [list(listing.template.prefix), list(listing.template.suffix)],
        "mecab-dic": listing.mecab_dic,
        **({} if listing.words is None else listing.words.settings),
    }


def states(
    spec: ReplicaSpec, table: Table, shard_tokens: int, batch_tokens: int, sentence: str | None = None
) -> dict[str, Any]:
    """Return the settings of hidden states, and what identifies the weights, all of which they depend on.

    Args:
        spec: the replica that computes them.
        table: the input embedding matrix.
        shard_tokens: upper limit of tokens per shard.
        batch_tokens: upper limit of tokens per batch.
        sentence: the sentence around each token; None is the model's own template.
    """
    import torch

    return {
        "weights": sources.hash_weights(spec.source),
        "layers": ",".join(map(str, spec.layers)),
        "dtype": spec.dtype,
        "store-dtype": spec.store_dtype,
        "shard-tokens": shard_tokens,
        "batch-tokens": batch_tokens,
        "device": spec.device,
        "cpus-per-worker": spec.threads,  # more threads split a sum elsewhere, which changes the last bits
        "torch": torch.__version__,
        "forward": spec.forward,
        "static": table.origin,
        **({} if sentence is None else {"sentence": sentence}),
    }


def sentences(settings: dict[str, Any], device: str) -> dict[str, Any]:
    """Return the settings of hidden states as those of sentences, which are cut into shards by their positions."""
    others = ("shard-tokens", "batch-tokens", "sentence")
    positions = [BATCH_POSITIONS[device], SHARD_POSITIONS[device], SUM_BYTES[device], MOST_SENTENCES]
    return {name: value for name, value in settings.items() if name not in others} | {"positions": positions}
