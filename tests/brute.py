"""Contexts by brute force: all sentences in memory, sorted by hash, and transformers' forward, one sentence at a time.

Nothing here is kotovec's own: what it says is what `kotovec build --corpus` must give.
"""

import hashlib
import unicodedata
from collections import defaultdict
from itertools import pairwise

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


def normalised(text):
    return " ".join(unicodedata.normalize("NFC", text).split())


def hashed(text, seed=0):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest(), "big")


def is_sign(char):
    return unicodedata.category(char)[0] not in "LMN"


def is_parting(char):
    return is_sign(char) or unicodedata.name(char, "").startswith(UNSPACED)


def whole_words(tokenizer, ids, marking):
    """Return for each token whether it is a word of its own: by the texts of its neighbours."""
    texts = tokenizer.convert_ids_to_tokens(ids)
    if marking == "wordpiece":
        goes_on = [text.startswith("##") for text in texts] + [False]
        return [not goes_on[index] and not goes_on[index + 1] for index in range(len(texts))]
    if marking == "metaspace":
        parts = [" ", *(text.replace("▁", " ") for text in texts), " "]
        edges = [is_parting(parts[index][-1]) or is_parting(parts[index + 1][0]) for index in range(len(parts) - 1)]
        return [begin and end for begin, end in pairwise(edges)]
    parts = [tokenizer.decode([number]) for number in ids] + [" "]
    ends = [part[:1].isspace() or is_sign(part[:1] or " ") for part in parts[1:]]
    begins = [
        part[:1].isspace() or index == 0 or is_sign(parts[index - 1][-1:] or " ")
        for index, part in enumerate(parts[:-1])
    ]
    return [begin and end for begin, end in zip(begins, ends, strict=True)]


class Brute:
    """The contexts of the tokens of a model.

    Attributes:
        contexts: the sentences of each id, by hash.
        inside: the ids whose sentences have it inside of words.
        seen: how many sentences have each id.
    """

    def __init__(self, folder, lines, *, limit, kinds, marking, seed=0, fewest=8, most=512):
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        texts = {normalised(line) for line in lines}
        texts = sorted((text for text in texts if fewest <= len(text) <= most), key=lambda text: hashed(text, seed))
        whole, inside = defaultdict(list), defaultdict(list)
        self._where = {}
        for text in texts:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            is_whole = whole_words(self.tokenizer, ids, marking)
            for position, number in enumerate(ids):
                if kinds.get(number) not in ("word", "subword", "byte"):
                    continue
                counted = kinds[number] != "word" or is_whole[position]
                sentences = (whole if counted else inside)[number]
                if not sentences or sentences[-1] != text:
                    sentences.append(text)
                self._where.setdefault((number, text, counted), []).append(position)
        found = {**inside, **whole}
        self.seen = {number: len(sentences) for number, sentences in found.items()}
        self.inside = set(inside) - set(whole)
        self.contexts = {number: sentences[:limit] for number, sentences in found.items()}

    def means(self, numbers=None):
        """Return the mean of each id, or of some, in each layer, (L, D) float64, and the number of its vectors."""
        every = {number: np.concatenate(each, axis=1) for number, each in self._uses(numbers).items()}
        return {number: (vectors.mean(axis=1), vectors.shape[1]) for number, vectors in every.items()}

    def points(self, numbers=None):
        """Return the mean of each id, or of some, in each of its sentences, (L, n, D) float64."""
        found = self._uses(numbers).items()
        return {number: np.stack([vectors.mean(axis=1) for vectors in each], axis=1) for number, each in found}

    def _uses(self, numbers):
        """Return the vectors of each id, or of some, in each of its sentences, (L, u, D) float64."""
        model = AutoModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        wanted = {number: self.contexts[number] for number in (self.contexts if numbers is None else numbers)}
        having = defaultdict(list)
        for number, texts in wanted.items():
            for text in texts:
                having[text].append(number)
        found = {}
        for text, those in having.items():
            states = self._states(model, text)
            for number in those:
                found[number, text] = states[:, self._where[number, text, number not in self.inside]]
        return {number: [found[number, text] for text in texts] for number, texts in wanted.items()}

    def _states(self, model, text):
        """Return the hidden states of a sentence in each layer, without its special tokens, (L, n, D) float64."""
        bare = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = self.tokenizer(text)["input_ids"]
        if ids == bare:  # a decoder, before whose sentences a person puts the token of the beginning
            ids = [self.tokenizer.bos_token_id, *bare]
        before = next(start for start in range(len(ids)) if ids[start : start + len(bare)] == bare)
        with torch.inference_mode():
            given = torch.tensor([ids])
            found = model(given, attention_mask=torch.ones_like(given), output_hidden_states=True).hidden_states
        return np.stack([layer[0, before:].double().numpy() for layer in found])
