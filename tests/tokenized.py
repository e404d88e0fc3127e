"""Stores with real or trained tokenizers and static vectors alone, made in a second: no model runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from kotovec.store.tokens import Marking, describe

from stores import write_store

JAPANESE = Path(__file__).parent / "data" / "bert-base-japanese-v3"
NO_LAYERS = np.empty((0, 1, 1))


def write_vocabulary(folder, tokenizer, vectors, marking, special, unknown=""):
    """Write a store of a `tokenizers.Tokenizer` and its static vectors; ids without a token have no row."""
    texts = {number: text for text, number in tokenizer.get_vocab().items()}
    ids = sorted(texts)
    special_ids = frozenset(tokenizer.token_to_id(text) for text in special)
    unknown_id = -1 if not unknown else tokenizer.token_to_id(unknown)
    tokens = describe(ids, [texts[number] for number in ids], special_ids, marking, unknown_id)
    return write_store(folder, tokens, vectors[ids], NO_LAYERS, layers=(), tokenizer=tokenizer)


def trained_on():
    """Lines of English and Japanese: a licence, and words of the vocabulary of a Japanese BERT, eight to a line."""
    english = (JAPANESE / "LICENSE").read_text(encoding="utf-8").splitlines()
    words = (JAPANESE / "vocab.txt").read_text(encoding="utf-8").split("\n")[2000:4000]
    words = [word for word in words if word and not word.startswith("##")]
    return english + [" ".join(words[start : start + 8]) for start in range(0, len(words), 8)]


def vectors_of(tokenizer):
    return np.random.default_rng(5).standard_normal((tokenizer.get_vocab_size(), 16), dtype=np.float32)


@pytest.fixture(scope="session")
def demo_static(minilm, tmp_path_factory) -> Path:
    """A store of the demo model's tokens and static vectors: 30,522 rows of WordPiece."""
    from safetensors import safe_open

    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    with safe_open(minilm / "model.safetensors", "numpy") as file:
        (name,) = (each for each in file.keys() if each.endswith("word_embeddings.weight"))  # noqa: SIM118
        vectors = file.get_tensor(name)
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    folder = tmp_path_factory.mktemp("tokenized") / "demo.kotovec"
    return write_vocabulary(folder, tokenizer, vectors, Marking.WORDPIECE, special, "[UNK]")


@pytest.fixture(scope="session")
def bytelevel(tmp_path_factory) -> Path:
    """A store of byte-level BPE, 1,500 tokens, some of which are parts of Japanese characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(trained_on(), trainer)
    folder = tmp_path_factory.mktemp("tokenized") / "bytelevel.kotovec"
    return write_vocabulary(folder, tokenizer, vectors_of(tokenizer), Marking.BYTELEVEL, ["<|endoftext|>"])


@pytest.fixture(scope="session")
def metaspace(tmp_path_factory) -> Path:
    """A store of Unigram as SentencePiece has it, 2,500 tokens."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=2500, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(trained_on(), trainer)
    folder = tmp_path_factory.mktemp("tokenized") / "metaspace.kotovec"
    return write_vocabulary(
        folder, tokenizer, vectors_of(tokenizer), Marking.METASPACE, ["<s>", "</s>", "<unk>"], "<unk>"
    )


@pytest.fixture(scope="session")
def japanese(tmp_path_factory) -> Path:
    """A store of the real vocabulary of bert-base-japanese-v3, which MeCab splits words for; its vectors are random."""
    return write_japanese(JAPANESE, tmp_path_factory.mktemp("tokenized") / "japanese.kotovec")


@pytest.fixture(scope="session")
def japanese_ipadic(tmp_path_factory) -> Path:
    """The same of bert-base-japanese-whole-word-masking, whose dictionary is IPADIC."""
    source = JAPANESE.with_name("bert-base-japanese-whole-word-masking")
    return write_japanese(source, tmp_path_factory.mktemp("tokenized") / "ipadic.kotovec")


def write_japanese(source, folder):
    texts = (source / "vocab.txt").read_text(encoding="utf-8").split("\n")
    texts = texts[:-1] if texts[-1] == "" else texts
    special = frozenset(map(texts.index, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")))
    tokens = describe(range(len(texts)), texts, special, Marking.WORDPIECE, texts.index("[UNK]"))
    vectors = np.random.default_rng(5).standard_normal((len(texts), 8), dtype=np.float32)
    write_store(folder, tokens, vectors, NO_LAYERS, layers=())
    (folder / "tokenizer").mkdir()
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(source / name, folder / "tokenizer" / name)
    return folder
