"""The plan of a build: everything that decides its bytes, before any weight is loaded.

Shards and batches depend on the model and the settings alone, never on the number of workers. This, and one thread
per worker, is why any number of workers gives the same bytes.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster import settings as settings_of
from kotovec.cluster.contexts.drawn import Drawn
from kotovec.cluster.listing import Listing, list_tokens
from kotovec.cluster.replica import make_replica, pick_device, shard_limit
from kotovec.cluster.request import Request, parse_layers
from kotovec.cluster.shards import ShardPlan, cut
from kotovec.cluster.spelling import MOST_PIECES, most_pieces, spell
from kotovec.cluster.tables import describe, rows_of, tensor_of
from kotovec.cluster.wordlist import Wordlist
from kotovec.cluster.words import Words
from kotovec.errors import InputError
from kotovec.space import IN_PART, OUTPUT, PROTOTYPES, STATIC, Space
from kotovec.store.library import import_faiss
from kotovec.store.tokens import Tokens
from kotovec.workers import forward as forwards
from kotovec.workers import source as sources
from kotovec.workers import table as tables
from kotovec.workers.checkpoint import Checkpoint
from kotovec.workers.encoder import ReplicaSpec
from kotovec.workers.inputs import Inputs
from kotovec.workers.matrices import Matrices
from kotovec.workers.matrices import find as find_matrices
from kotovec.workers.model import Model
from kotovec.workers.pooling import POOLINGS
from kotovec.workers.sentence import around
from kotovec.workers.table import Table
from kotovec.workers.tokenizer import Template

if TYPE_CHECKING:
    from kotovec.cluster.contexts.encode import Sentences
    from kotovec.cluster.contexts.matching import Matcher
    from kotovec.store.contexts import Sample

# On a CPU, 96 to 240 make no difference, and fewer make the products slower.
BATCH_TOKENS = {"cpu": 192, "cuda": 8192}
# Memory of a worker besides the weights: torch, buffers, and the shards that it holds.
BASE_BYTES = 400 << 20


@dataclass(frozen=True)
class Plan:
    """A build with everything decided.

    Attributes:
        model: the model, without its weights.
        tokenizer: the tokenizer of transformers, which is saved with the store.
        tokens: the V tokens to encode.
        spec: the replica that every worker loads.
        table: the input embedding matrix, whose rows are the static vectors.
        shards: the shards to encode.
        size: number of dimensions of the hidden states, from the model's config.
        parameters: number of the model's parameters.
        settings: everything that decides the bytes, by the names that errors about them use.
        counts: number of tokens of each kind, before the filter.
        rows_without_token, tokens_without_row: numbers of embedding rows and of tokens that are left out.
        mecab_dic: name of the MeCab dictionary, or None.
        mecab_assumed: whether that name was assumed, as neither the user nor the model's config names one.
        notices: messages for the user.
        wanted: the spaces that the store must contain once it is complete.
        tables: those that this build copies.
        matrices: the matrices of the checkpoint; None where `static` is the only table, as `table` says it then.
        unnamed: rows of the tables without a token, which are kept beside the others.
        rowless: tokens without a row, by their ids.
        words: the words that are encoded in place of the vocabulary, or None.
        bos: whether a token was to be put before those of a decoder whose template has none there.
        drawn: what decides the contexts whose hidden states are averaged, or None for tokens alone in their template.
        sentences: these contexts, once they are drawn.
        prototypes: most centres of the vectors of a token in its contexts; 0 where only their mean is wanted.
    """

    model: Model
    tokenizer: Any
    tokens: Tokens
    spec: ReplicaSpec
    table: Table
    shards: tuple[ShardPlan, ...]
    size: int
    parameters: int
    settings: dict[str, Any]
    counts: dict[str, int]
    rows_without_token: int
    tokens_without_row: int
    mecab_dic: str | None
    mecab_assumed: bool
    notices: tuple[str, ...]
    wanted: tuple[Space, ...] = (STATIC,)
    tables: tuple[Space, ...] = (STATIC,)
    matrices: Matrices | None = None
    unnamed: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rowless: Mapping[int, str] = field(default_factory=dict)
    words: Words | None = None
    bos: bool = True
    drawn: Drawn | None = None
    sentences: "Sentences | None" = None
    prototypes: int = 0

    @property
    def checkpoint(self) -> Checkpoint:
        """The files of the model that a worker on another machine must have."""
        return Checkpoint(self.model.source, self.settings["weights"], self.settings["config"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of settings and spaces: a shard file that carries it belongs to this plan."""
        return hashlib.sha256(json.dumps(self.task, sort_keys=True).encode()).hexdigest()

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces that the store must contain once it is complete."""
        return self.wanted

    @property
    def in_part(self) -> bool:
        """Whether only tables of the checkpoint are read."""
        return "layers" not in self.settings

    @property
    def noun(self) -> str:
        """What a row of the store is, for a person."""
        return "token" if self.words is None else "word"

    @property
    def encoded(self) -> tuple[Space, ...]:
        """The spaces that this build encodes; every shard contains them."""
        return tuple(map(Space.parse, self.spec.spaces))

    @property
    def added(self) -> tuple[Space, ...]:
        """The spaces that this build adds to the store: the table that it copies, and those that it encodes."""
        return (*self.tables, *self.encoded, *self.divided)

    @property
    def divided(self) -> tuple[Space, ...]:
        """The spaces of prototypes that this build adds, one for each layer that it encodes."""
        return tuple(Space(PROTOTYPES, layer) for layer in self.spec.layers) if self.prototypes else ()

    def only(self, spaces: Collection[Space]) -> "Plan":
        """Return the plan of the same build, restricted to these spaces."""
        layers = tuple(sorted({space.layer for space in spaces if space.layer is not None}))
        shards = self.shards if layers else ()
        tables = tuple(space for space in self.tables if space in spaces)
        sentences = self.sentences if layers else None
        return replace(self, spec=replace(self.spec, layers=layers), shards=shards, tables=tables, sentences=sentences)

    def with_sample(self, sample: "Sample", matcher: "Matcher") -> "Plan":
        """Return the plan whose hidden states are means over the contexts of a sample, in place of tokens alone.

        Args:
            sample: the sample, with token ids; its digest is a part of the fingerprint.
            matcher: finds the items of this plan in its sentences.

        Raises:
            InputError: the sample is of other items, or empty.
        """
        from kotovec.cluster.contexts.encode import plan_sentences

        return plan_sentences(self, sample, matcher)

    def of_weights(self, weights: str | None) -> "Plan":
        """Return the plan for a store of these weights, which may have been read as a whole where this one's were not.

        Raises:
            InputError: the weights of this plan are on the Hub.
        """
        if not self.in_part or weights is None or weights.startswith(IN_PART):
            return self
        if self.model.source.remote:
            raise InputError(
                f"the store was built from all weights of {self.model.name}, of which the Hub is read in part",
                hint="give the folder of the model, or name another path with --store",
            )
        return replace(self, settings=self.settings | {"weights": sources.hash_weights(self.model.source)})

    @property
    def task(self) -> dict[str, Any]:
        """The task of an unfinished build, as it is stored in its folder."""
        return {"settings": self.settings, "spaces": list(map(str, self.added))}

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """The (start, stop) rows of each shard."""
        return [(shard.start, shard.stop) for shard in self.shards]

    def ids(self, shard: ShardPlan) -> npt.NDArray[np.int64]:
        """Return the ids of the tokens of a shard."""
        return self.tokens.ids[shard.start : shard.stop]

    def inputs(self, shard: ShardPlan) -> Inputs:
        """Return the inputs that a worker encodes for a shard."""
        if self.sentences is not None:
            return self.sentences.inputs(shard)
        if self.words is not None:
            return self.words.inputs(shard.start, shard.stop, self.spec.template)
        return Inputs.isolated(self.ids(shard), self.spec.template)

    def result_bytes(self, shard: ShardPlan) -> int:
        """Return the largest size in bytes of what a worker returns for a shard."""
        if self.sentences is not None:
            contexts = self.sentences.contexts(shard)
            points = self.shard_bytes(contexts, 4) if self.prototypes else 0
            return min(contexts, len(self.tokens)) * self.sum_row_bytes + points
        return self.shard_bytes(shard.stop - shard.start)

    @property
    def vector_bytes(self) -> int:
        """Size in bytes of the vectors that this build adds; of prototypes, the most."""
        return self.shard_bytes(len(self.tokens)) * (1 + self.prototypes) + sum(
            len(self.tokens) * self._width(space) * 4 for space in self.tables
        )

    def _width(self, space: Space) -> int:
        """Return the number of dimensions of a table; 0 for one that is not stored, as it is another."""
        if self.matrices is None:
            return self.table.size
        return 0 if space == OUTPUT and self.matrices.tied else tensor_of(self.matrices, space).shape[1]

    @property
    def index_bytes(self) -> int:
        """Size in bytes of the two default indexes (static, last layer; Flat keeps float32)."""
        return 0 if self.in_part else len(self.tokens) * (self.table.size + self.size) * 4

    def shard_bytes(self, rows: int, item: int | None = None) -> int:
        """Return the size in bytes of the vectors in shards of so many tokens, or of `item` bytes a number."""
        return rows * len(self.spec.layers) * self.size * (item or np.dtype(self.spec.store_dtype).itemsize)

    @property
    def sum_row_bytes(self) -> int:
        """Size in bytes of the sums of a row in all layers, with their energies."""
        return len(self.spec.layers) * (self.size + 2) * 8

    @property
    def sum_bytes(self) -> int:
        """Size in bytes of the sums of all rows."""
        return len(self.tokens) * self.sum_row_bytes

    @property
    def point_bytes(self) -> int:
        """Size in bytes of the vectors of contexts that prototypes are made of; the most, until contexts are drawn."""
        if not self.prototypes or self.drawn is None:
            return 0
        most = len(self.tokens) * self.drawn.sampling.most
        return self.shard_bytes(most if self.sentences is None else len(self.sentences.sample.sentences), 4)

    def peak_bytes(self, rows: int) -> int:
        """Return how many bytes more the disk must hold at some moment if so many rows or sentences are missing.

        First the shards are beside the spaces' files; later the indexes take the space of the shards.
        """
        if self.drawn or self.sentences:  # the loose shards, the last fold, and the one that is being written
            points = self.point_bytes * rows // (len(self.sentences.order) if self.sentences else len(self.tokens))
            return self.vector_bytes + max(3 * self.sum_bytes + points, self.index_bytes)
        kept = self.shard_bytes(len(self.tokens) - rows)
        return self.vector_bytes + max(self.shard_bytes(rows), self.index_bytes - kept)

    @property
    def worker_bytes(self) -> int:
        """Approximate memory of a worker in bytes; half-precision weights briefly exist beside the float32 ones."""
        extra = 0 if self.spec.dtype == "float32" else 2
        return BASE_BYTES + self.parameters * (4 + extra)


def make_plan(request: Request, model: Model | None = None) -> Plan:
    """Decide a build: find the model, list its tokens, cut them into shards. Loads no weights.

    Args:
        request: the request of the user.
        model: the model, where it has been read already.

    Raises:
        InputError and its subclasses: a part of the request cannot be fulfilled; the message names the fix.
    """
    # First: a missing or doubled wheel is found before any work, and faiss comes before torch, which shares
    # OpenMP with it.
    import_faiss()
    request.check()
    request, chosen = request.with_words(), request.chosen
    if chosen.layers is None:
        return _plan_tables(request, chosen.tables, model or Model.find(request.model, request.revision, tables=True))
    model = model or Model.find(request.model, request.revision)
    layers = parse_layers(chosen.layers, int(model.pretrained_config.num_hidden_layers))
    parameters = model.parameters  # damaged weights are reported before the tokenizer takes its time
    listing = list_tokens(model, request.token_filter, request.mecab_dic, bos=request.bos)
    device = pick_device(request)
    forward, architecture = forwards.choose(model)
    table = tables.find(model, architecture)
    matrices = find_matrices(model) if OUTPUT in chosen.tables else None
    template = _template(request, listing, table.rows)
    listing = _with_words(request, listing, table.rows, most_pieces(model, architecture, template))
    size = int(model.pretrained_config.hidden_size)
    shard_tokens = shard_limit(request, device, table, len(layers) * size)
    shards = cut(len(listing.tokens), shard_tokens, BATCH_TOKENS[device])
    spec = make_replica(request, model, template, layers, device, forward, architecture, table, shards)
    settings = settings_of.tokens(model, request.token_filter, listing)
    settings |= settings_of.states(spec, table, shard_tokens, BATCH_TOKENS[device], request.template)
    drawn = _draw(request, model, listing, table.rows)
    if drawn is not None:
        settings = settings_of.sentences(settings, device) | drawn.sampling.settings
        settings |= {PROTOTYPES: request.prototypes} if request.prototypes else {}
    plan = _plan(
        (model, listing, spec, chosen.tables, matrices, settings),
        table=table,
        shards=shards,
        size=size,
        parameters=parameters,
    )
    plan = replace(plan, drawn=drawn, prototypes=request.prototypes or 0)
    return replace(plan, wanted=(*plan.wanted, *plan.divided))


def _draw(request: Request, model: Model, listing: Listing, rows: int) -> Drawn | None:
    """Return what decides the contexts, where they are asked for."""
    if (sampling := request.sampling) is None:
        return None
    tokenizer_hash = sources.hash_tokenizer(model.source)
    return Drawn(sampling, listing.tokens, listing.vocabulary, listing.tokenizer, tokenizer_hash, rows)


def _plan_tables(request: Request, wanted: tuple[Space, ...], model: Model) -> Plan:
    """Plan a build that reads tables of a checkpoint alone, of any architecture."""
    matrices = find_matrices(model)
    rows = rows_of(matrices, wanted)
    listing = list_tokens(model, request.token_filter, request.mecab_dic, rows, bos=request.bos)
    listing = _with_words(request, listing, rows, MOST_PIECES)
    table = Table(rows, matrices.input.shape[1], matrices.input.name)
    spec = ReplicaSpec(model.source, listing.template, (), depth=0, rows=rows, positions=0, forward="")
    settings = settings_of.tokens(model, request.token_filter, listing) | {
        "weights": matrices.identity,
        "static": matrices.input.name,
    }
    parts = (model, listing, spec, wanted, matrices, settings)
    return _plan(parts, table=table, shards=(), size=0, parameters=0)


def _template(request: Request, listing: Listing, rows: int) -> Template:
    """Return the ids around each token: those of the model's own template, or of a sentence."""
    if request.template is None:
        return listing.template
    return around(listing.tokenizer, listing.vocabulary, listing.template, request.template, rows)


def _with_words(request: Request, listing: Listing, rows: int, most: int) -> Listing:
    """Return the listing of the words of a list in place of the tokens, where one is given."""
    if not isinstance(request.words, Wordlist):
        return listing
    return spell(request.words, listing, rows, most, request.pooling or POOLINGS[0])


_Parts = tuple[Model, Listing, ReplicaSpec, tuple[Space, ...], Matrices | None, dict[str, Any]]


def _plan(parts: _Parts, *, table: Table, shards: tuple[ShardPlan, ...], size: int, parameters: int) -> Plan:
    """Return the plan of what was found about a model."""
    model, listing, spec, wanted, matrices, settings = parts
    if matrices is not None and OUTPUT in wanted and matrices.tied and STATIC not in wanted:
        wanted = (STATIC, *wanted)  # which it is
    said = () if matrices is None else describe(matrices, wanted)
    if OUTPUT in wanted and matrices is not None:
        settings = settings | {"output": matrices.head.name}
    return Plan(
        model=model,
        tokenizer=listing.tokenizer,
        tokens=listing.tokens,
        spec=spec,
        table=table,
        shards=shards,
        size=size,
        parameters=parameters,
        settings=settings,
        counts=listing.everything.count(),
        rows_without_token=spec.rows - len(listing.everything) if listing.words is None else 0,
        tokens_without_row=len(listing.vocabulary.ids) - len(listing.everything) if listing.words is None else 0,
        mecab_dic=listing.mecab_dic,
        mecab_assumed=listing.mecab_assumed,
        notices=(*listing.notices, *(listing.of_states if spec.layers else ()), *said),
        wanted=(*wanted, *(Space(spec.space, layer) for layer in spec.layers)),
        tables=wanted,
        matrices=matrices,
        unnamed=listing.unnamed,
        rowless=listing.rowless,
        words=listing.words,
        bos=listing.bos,
    )
