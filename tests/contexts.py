"""Samples made by hand for the tests of contexts, and the means that transformers gives, sentence by sentence."""

from collections import defaultdict

import numpy as np

from kotovec.cluster.contexts.matching import make_matcher
from kotovec.cluster.corpus import hash_sentences
from kotovec.store.contexts import Sample, Texts, offsets_of
from kotovec.store.tokens import KINDS
from kotovec.workers.splitter import Splitter
from kotovec.workers.tokenizer import list_vocabulary


def matcher_of(plan):
    """Return the matcher of a plan's items."""
    return make_matcher(list_vocabulary(plan.tokenizer, plan.model), plan.tokens)


def sample_of(plan, sentences, limit=50):
    """Return the sample of some sentences, drawn in the plainest way."""
    hashes = hash_sentences(sentences, 0)
    order = np.argsort(hashes)
    texts = [sentences[index] for index in order.tolist()]
    ids, offsets = Splitter(plan.tokenizer).split(texts)
    found = matcher_of(plan).find(ids, offsets)
    whole, inside = defaultdict(set), defaultdict(set)
    for row, sentence, is_inside in zip(found.rows.tolist(), found.sentences.tolist(), found.inside, strict=True):
        (inside if is_inside else whole)[row].add(sentence)
    rows = range(len(plan.tokens))
    chosen = [sorted(whole[row] or inside[row])[:limit] for row in rows]
    return Sample(
        hashes=hashes[order],
        offsets=offsets_of(np.array(list(map(len, chosen)))),
        sentences=np.array([sentence for each in chosen for sentence in each], dtype=np.int32),
        inside=np.array([not whole[row] and bool(inside[row]) for row in rows]),
        occurrences=np.array([float(len(whole[row] or inside[row])) for row in rows]),
        limit=limit,
        made={"by": "test"},
        texts=Texts.of(texts),
        ids=ids,
        id_offsets=offsets,
    )


def reference(plan, sample, layers, pooling="mean"):
    """Return means (L, V, D), counts (V,) and mean energies (L, V), one sentence at a time, by transformers."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(plan.model.source.folder, dtype=torch.float32).eval()
    prefix, suffix = plan.settings["template"]
    vectors = defaultdict(list)
    with torch.inference_mode():
        for number in range(len(sample.hashes)):
            ids = sample.ids[sample.id_offsets[number] : sample.id_offsets[number + 1]].tolist()
            rows = [row for row in range(len(plan.tokens)) if number in sample.of(row)]
            sequence = torch.tensor([[*prefix, *ids, *suffix]])
            output = model(sequence, attention_mask=torch.ones_like(sequence), output_hidden_states=True)
            states = [*output.hidden_states[:-1], output.last_hidden_state]
            states = np.stack([states[layer][0].double().numpy() for layer in layers])
            for row in rows:
                for start, length in places(plan, ids, row, inside=bool(sample.inside[row])):
                    pieces = states[:, len(prefix) + start : len(prefix) + start + length]
                    pooled = {"mean": pieces.mean(axis=1), "first": pieces[:, 0], "last": pieces[:, -1]}
                    vectors[row].append(pooled[pooling])
    size = plan.size
    means, energies = np.zeros((len(layers), len(plan.tokens), size)), np.zeros((len(layers), len(plan.tokens)))
    counts = np.zeros(len(plan.tokens), dtype=np.int64)
    for row, each in vectors.items():
        stacked = np.stack(each)
        means[:, row], counts[row] = stacked.mean(axis=0), len(each)
        energies[:, row] = (stacked**2).sum(axis=2).mean(axis=0)
    return means, counts, energies


def places(plan, ids, row, *, inside):
    """Return where an item stands in a sentence of a WordPiece vocabulary: (position, number of tokens)."""
    tokens, texts = plan.tokens, plan.tokenizer.convert_ids_to_tokens(ids)
    own = tokens.ids[row : row + 1] if tokens.pieces is None else tokens.pieces.slice(row, row + 1).ids
    wanted = own.tolist()
    found = []
    for start in range(len(ids) - len(wanted) + 1):
        if ids[start : start + len(wanted)] != wanted:
            continue
        stop = start + len(wanted)
        is_whole = not continues(texts[start]) and (stop == len(ids) or not continues(texts[stop]))
        is_bound = tokens.pieces is not None or KINDS[tokens.kinds[row]] == "word"
        if not is_bound or is_whole != inside:
            found.append((start, len(wanted)))
    return found


def continues(text):
    """Return whether a token continues a word."""
    return text.startswith("##") and len(text) > 2
