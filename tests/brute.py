"""Contexts by brute force: all sentences in memory, sorted by hash, and transformers' forward, one sentence at a time.

Nothing here is kotovec's own: what it says is what `kotovec build --corpus` must give.
"""

import hashlib
import unicodedata
from collections import defaultdict

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


def normalised(text):
    return " ".join(unicodedata.normalize("NFC", text).split())


def hashed(text, seed=0):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest(), "big")


def is_sign(char):
    return unicodedata.category(char)[0] not in "LMN"


def whole_words(tokenizer, ids, marking):
    """Return for each token whether it is a word of its own: by the texts of its neighbours."""
    texts = tokenizer.convert_ids_to_tokens(ids)
    if marking == "wordpiece":
        goes_on = [text.startswith("##") for text in texts] + [False]
        return [not goes_on[index] and not goes_on[index + 1] for index in range(len(texts))]
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
        means: for each id its mean in each layer, (L, D), and the number of its vectors.
        points: for each id the mean in each of its sentences, (L, n, D).
    """

    def __init__(self, folder, lines, *, limit, kinds, marking, seed=0, fewest=8, most=512):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        texts = {normalised(line) for line in lines}
        texts = sorted((text for text in texts if fewest <= len(text) <= most), key=lambda text: hashed(text, seed))
        whole, inside = defaultdict(list), defaultdict(list)
        where = {}
        for text in texts:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            is_whole = whole_words(tokenizer, ids, marking)
            for position, number in enumerate(ids):
                if kinds.get(number) not in ("word", "subword", "byte"):
                    continue
                counted = kinds[number] != "word" or is_whole[position]
                sentences = (whole if counted else inside)[number]
                if not sentences or sentences[-1] != text:
                    sentences.append(text)
                where.setdefault((number, text, counted), []).append(position)
        self.seen = {number: len(found) for number, found in {**inside, **whole}.items()}
        self.inside = set(inside) - set(whole)
        self.contexts = {number: found[:limit] for number, found in {**inside, **whole}.items()}
        self.means = self._means(tokenizer, model, where)

    def _means(self, tokenizer, model, where):
        states = {}
        for text in {text for found in self.contexts.values() for text in found}:
            bare = tokenizer(text, add_special_tokens=False)["input_ids"]
            ids = tokenizer(text)["input_ids"]
            if ids == bare:  # a decoder, before whose sentences a person puts the token of the beginning
                ids = [tokenizer.bos_token_id, *bare]
            before = next(start for start in range(len(ids)) if ids[start : start + len(bare)] == bare)
            with torch.inference_mode():
                given = torch.tensor([ids])
                found = model(given, attention_mask=torch.ones_like(given), output_hidden_states=True).hidden_states
            states[text] = torch.stack(found)[:, 0].double().numpy()[:, before:]
        means, self.points = {}, {}
        for number, texts in self.contexts.items():
            counted = number not in self.inside
            uses = [[states[text][:, position] for position in where[number, text, counted]] for text in texts]
            self.points[number] = np.stack([np.mean(each, axis=0) for each in uses], axis=1)
            every = [vector for each in uses for vector in each]
            means[number] = np.mean(every, axis=0), len(every)
        return means
