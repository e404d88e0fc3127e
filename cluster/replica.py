"""The replica that a plan's workers load: its device, and how much it computes at a time."""

import numpy as np

from kotovec.cluster import resources
from kotovec.cluster.request import Request
from kotovec.cluster.shards import ShardPlan
from kotovec.errors import InputError
from kotovec.workers.architecture import Architecture
from kotovec.workers.encoder import ReplicaSpec
from kotovec.workers.model import Model
from kotovec.workers.table import Table
from kotovec.workers.tokenizer import Template

# Some 4 s of BERT-base on one core, 30 ms on an H200: a lost worker costs little, and the shards balance well.
SHARD_TOKENS = {"cpu": 1024, "cuda": 16384}
# A batch holds words of one length: of made-up words, 28 % of the rows are filled up in shards of 1,024, 7 % in these.
SHARD_WORDS = {"cpu": 4096, "cuda": 16384}
# Fewer tokens per shard where many layers are kept: shards pass through Ray's object store.
SHARD_BYTES = {"cpu": 32 << 20, "cuda": 256 << 20}
MOST_SENTENCES = 4096  # of contexts, in a shard
# Some 30 s of BERT-base on one core, 0.3 s on an H200: a lost worker costs little.
SHARD_POSITIONS = {"cpu": 32_768, "cuda": 1 << 20}
SUM_BYTES = {"cpu": 64 << 20, "cuda": 256 << 20}  # of sums, which pass through Ray's object store
# Of sequences times length: on a CPU, 768 to 2,304 make no difference of 2 %, and 384 is 4 % slower.
BATCH_POSITIONS = {"cpu": 1152, "cuda": 24_576}


def make_replica(
    request: Request,
    model: Model,
    template: Template,
    layers: tuple[int, ...],
    device: str,
    forward: str,
    architecture: Architecture | None,
    table: Table,
    shards: tuple[ShardPlan, ...],
) -> ReplicaSpec:
    """Return the replica of a plan, from what was found about its model."""
    return ReplicaSpec(
        source=model.source,
        template=template,
        layers=layers,
        depth=int(model.pretrained_config.num_hidden_layers),
        rows=int(model.pretrained_config.vocab_size),
        positions=max(stop - start for shard in shards for start, stop in shard.batches) * template.length,
        forward=forward,
        dtype=request.dtype,
        store_dtype=request.store_dtype,
        device=device,
        threads=request.cpus_per_worker,
        architecture=architecture,
        space=request.chosen.states,
        tensor=table.tensor,
        names=() if architecture is not None else tuple(model.shapes),
    )


def shard_limit(request: Request, device: str, table: Table, width: int) -> int:
    """Return the upper limit of tokens per shard; the width is that of all layers together."""
    # Shards do not hold static vectors, but once did: another count would cut the batches of a model with very many
    # layers otherwise, and stores that exist would no longer be those of the plan.
    token_bytes = table.size * 4 + width * np.dtype(request.store_dtype).itemsize
    usual = SHARD_TOKENS if request.words is None else SHARD_WORDS
    return max(2, min(request.shard_tokens or usual[device], SHARD_BYTES[device] // token_bytes))


def pick_device(request: Request) -> str:
    """Return the device of the workers; `auto` depends on the joined cluster, or else on this machine."""
    import torch

    available = resources.cluster_gpus() > 0 if request.on_cluster else torch.cuda.is_available()
    if request.device == "cuda" and not available and not request.on_cluster:
        raise InputError(
            "--device cuda: torch sees no GPU here", hint="use --device cpu, or --address of a cluster with GPUs"
        )
    return ("cuda" if available else "cpu") if request.device == "auto" else request.device
