"""Tokenizers made by hand, and models of some rows that are given them."""

import json

from tokenizers import Regex, Tokenizer, decoders, normalizers, processors
from tokenizers import models as algorithms
from tokenizers import pre_tokenizers as splitters

from models import _small, save

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "king", "queen", "a", "##s"]
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "▁king", "king", "dom", "▁女王", "と", "男", *"King", "<mask>"]


def write(folder, rows, tokenizer=None, settings=None, files=None, model="Bert", **config):
    """Write a model of some rows, with a tokenizer.json, a tokenizer_config.json and other files where given."""
    import transformers

    folder.mkdir()
    if tokenizer is not None:
        tokenizer.save(str(folder / "tokenizer.json"))
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for name, content in (files or {}).items():
        (folder / name).write_text(content, encoding="utf-8", newline="")
    options = _small() | {"vocab_size": rows, "pad_token_id": 0} | config
    return save(getattr(transformers, f"{model}Model"), getattr(transformers, f"{model}Config")(**options), folder, 0)


def lines(*words):
    return {"vocab.txt": "".join(f"{word}\n" for word in words or WORDS)}


def wordpiece(words=WORDS, template="[CLS] $A [SEP]", ids=(2, 3), **options):
    tokenizer = Tokenizer(algorithms.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]", **options))
    tokenizer.pre_tokenizer = splitters.Whitespace()
    special = list(zip(("[CLS]", "[SEP]"), ids, strict=True))
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return tokenizer


def unigram():
    tokenizer = Tokenizer(algorithms.Unigram([(piece, -3.0) for piece in dict.fromkeys(PIECES)], unk_id=3))
    tokenizer.pre_tokenizer, tokenizer.decoder = splitters.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def digits():
    """Byte-level BPE that splits every digit, as transformers' GPT2Tokenizer does not."""
    alphabet = sorted(splitters.ByteLevel.alphabet())
    vocabulary = {char: number for number, char in enumerate([*alphabet, "20", "ki", "ng", "king"])}
    tokenizer = Tokenizer(algorithms.BPE(vocabulary, [("2", "0"), ("k", "i"), ("n", "g"), ("ki", "ng")]))
    tokenizer.pre_tokenizer = splitters.Sequence(
        [splitters.Split(Regex(r"\p{N}|[^\p{N}]+"), "isolated"), splitters.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def fallback():
    """BPE with byte fallback, NFKC, and no ▁ in front, as transformers' LlamaTokenizer would put there."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{n:02X}>": n + 3 for n in range(256)}}
    vocabulary |= {piece: len(vocabulary) + n for n, piece in enumerate(["k", "i", "ki", "▁", "男"])}
    tokenizer = Tokenizer(algorithms.BPE(vocabulary, [("k", "i")], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = splitters.Metaspace(prepend_scheme="never", split=False)
    return tokenizer


def pieces(folder, file, **options):
    """Write a SentencePiece model; return its number of pieces."""
    import sentencepiece

    text = ["王と女王が国に住む the king and queen", "the kingdom of kings", "a man and a woman"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_prefix=str(folder / "m"),
        vocab_size=70,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    (folder / "m.model").rename(folder / file)
    (folder / "m.vocab").unlink()
    return sentencepiece.SentencePieceProcessor(str(folder / file))
