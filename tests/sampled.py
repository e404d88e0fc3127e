"""What the tests of samples share: tokenizers trained in a second, and the truth in words of its own.

The truth holds all sentences in memory, sorts them by their hashes, and takes the first N; whether a token is a whole
word is seen in the text, or in the words that the tokenizer itself reports, and never in ids.
"""

import random
import unicodedata
from collections import defaultdict
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

from kotovec.cluster.contexts.matching import make_matcher
from kotovec.cluster.contexts.scan import Scanner, scan_piece
from kotovec.cluster.contexts.sketch import Sketches
from kotovec.cluster.corpus import normalise
from kotovec.store.tokens import Marking, describe
from kotovec.workers.splitter import Splitter
from kotovec.workers.tokenizer import list_vocabulary

DATA = Path(__file__).parent / "data"
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI")


def sentences(name):
    """The sentences of an extract in tests/data, `brown/english` or `tatoeba/japanese`, within the usual bounds."""
    lines = map(normalise, (DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if 8 <= len(line) <= 512]


def train(kind):
    """A tokenizer as transformers has it, trained on both extracts: `bytelevel`, `metaspace` or `suffix`."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    model, splitter, decoder, trainer = {
        "bytelevel": lambda: (
            models.BPE(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
            trainers.BpeTrainer(vocab_size=2500, initial_alphabet=bytes_, show_progress=False),
        ),
        "metaspace": lambda: (
            models.Unigram(),
            pre_tokenizers.Metaspace(),
            decoders.Metaspace(),
            trainers.UnigramTrainer(
                vocab_size=4000, special_tokens=["<s>", "<unk>"], unk_token="<unk>", show_progress=False
            ),
        ),
        "suffix": lambda: (
            models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
            pre_tokenizers.BertPreTokenizer(),
            decoders.BPEDecoder(),
            trainers.BpeTrainer(
                vocab_size=2500, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
            ),
        ),
    }[kind]()
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = splitter, decoder
    if kind == "suffix":
        tokenizer.normalizer = normalizers.Lowercase()
    lines = [*sentences("brown/english"), *sentences("tatoeba/japanese")]
    tokenizer.train_from_iterator(lines, trainer)
    unknown = {} if kind == "bytelevel" else {"unk_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **unknown)


def table(vocabulary):
    """The table of a vocabulary's tokens."""
    marking = Marking(vocabulary.marking)
    return describe(vocabulary.ids, vocabulary.texts, vocabulary.special, marking, vocabulary.unk_id, vocabulary.added)


def scanner_of(tokenizer, tokens=None, spellings=None, **options):
    """A scanner of a vocabulary's tokens, or of others, and the table."""
    vocabulary = list_vocabulary(tokenizer)
    tokens = table(vocabulary) if tokens is None else tokens
    return Scanner(Splitter(tokenizer), make_matcher(vocabulary, tokens, spellings), **options), tokens


def scan(texts, scanner, cuts=1, seed=0):
    """The sketches of a corpus and its sentences by hash, read in pieces of random size, in random order."""
    chosen = random.Random(seed)
    bounds = sorted([0, len(texts), *(chosen.randint(0, len(texts)) for _ in range(cuts - 1))])
    pieces = [texts[start:stop] for start, stop in pairwise(bounds)]
    chosen.shuffle(pieces)
    sketches, held = Sketches(scanner.matcher.items, scanner.limit), {}
    for piece in pieces:
        found = scan_piece(iter(piece), scanner, sketches.thresholds())
        sketches.add(found.rows, found.sentences.hashes[found.sentence], found.inside)
        for index, number in enumerate(found.sentences.hashes.tolist()):
            ids = found.sentences.ids[found.sentences.id_offsets[index] : found.sentences.id_offsets[index + 1]]
            held[number] = (found.sentences.texts[index], ids.tolist())
    return sketches, held


def sample_of(sketches):
    """The sample by row: whether it is of occurrences inside words, and the hashes."""
    found = {}
    for inside, sketch in ((False, sketches.whole), (True, sketches.inside)):
        offsets, hashes = sketch.sample()
        for row in range(sketch.items):
            if offsets[row] < offsets[row + 1]:
                assert row not in found
                found[row] = (inside, hashes[offsets[row] : offsets[row + 1]].tolist())
    return found


def hash_of(text, seed=0):
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest(), "big")


def truth(texts, occurrences, limit, seed=0):
    """The sample by row, and the numbers of distinct sentences by row.

    Args:
        texts: all sentences.
        occurrences: yields row and whether it is whole for each occurrence in a text.
        limit: N.
        seed: key of the hashes.
    """
    whole, inside = defaultdict(list), defaultdict(list)
    for number, text in sorted({(hash_of(text, seed), text) for text in texts}):
        found = set(occurrences(text))
        for row, is_whole in found:
            (whole if is_whole else inside)[row].append(number)
    everything = {row: (True, numbers) for row, numbers in inside.items()}
    everything |= {row: (False, numbers) for row, numbers in whole.items()}
    sample = {row: (is_inside, numbers[:limit]) for row, (is_inside, numbers) in everything.items()}
    return sample, {row: len(numbers) for row, (_, numbers) in everything.items()}


def in_words(tokenizer, words):
    """Occurrences by the words that a tokenizer reports: the ids of each word of a text.

    A token that continues a word counts anywhere, one that begins it (or ends it, with `</w>`) as a word of its own.
    """
    texts = {number: text for text, number in tokenizer.get_vocab().items()}
    rows = {number: row for row, number in enumerate(sorted(texts))}
    special = {*tokenizer.all_special_ids}
    suffixes = any(text.endswith("</w>") for text in texts.values())

    def is_part(text):
        return not text.endswith("</w>") if suffixes else text.startswith("##") and text != "##"

    def occurrences(text):
        for ids in words(text):
            for number in ids:
                if number not in special and texts[number].removesuffix("</w>").strip():
                    yield rows[number], len(ids) == 1 or is_part(texts[number])

    return occurrences


def parts(char):
    return unicodedata.category(char)[0] not in "LMN" or unicodedata.name(char, "").startswith(UNSPACED)


def between(text, start, stop):
    """Whether a part of a text stands between boundaries of words."""
    begins = start == 0 or parts(text[start - 1]) or parts(text[start])
    return begins and (stop == len(text) or parts(text[stop - 1]) or parts(text[stop]))
