"""Tiny models with real files: seeded weights, small vocabularies, and each kind of tokenizer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

DATA = Path(__file__).parent / "data"
JAPANESE = {"japanese-v1": "bert-base-japanese-whole-word-masking", "japanese-v3": "bert-base-japanese-v3"}

ENGLISH = (  # noqa: SIM905 — a list of 40 quoted words would be five times as long to read
    "king queen man woman prince princess boy girl royal kingdom palace crown throne the a an and of in to "
    "is city river house school teacher student music paper water light night morning summer winter"
).split()
KANJI = list("王女男子国宮妃人東京大学水火木山川日本語")
JAPANESE_WORDS = "女王 王子 王女 王妃 国王 王国 男子 女子 人々 東京 日本 日本語 大学 がく かく".split()  # noqa: SIM905
SENTENCES = [
    "the king and the queen of the kingdom",
    "a man and a woman in the city",
    "the prince is a boy, the princess is a girl.",
    " 王と女王 男と女 王子と王女",
    "王 女王 男 女 子",
]


def bert_vocabulary() -> list[str]:
    """WordPiece: `[PAD]` is 0, `[CLS]` 3, `[SEP]` 4; a blank token, `##王`, and か beside が."""
    kana = [chr(code) for code in range(0x3041, 0x3094)] + ["ー"]
    signs = [chr(code) for code in range(0x21, 0x7F)]
    pieces = ["s", "ing", "ed", "ly", "er", *"abcdefghijklmnopqrstuvwxyz", *KANJI, *kana]
    specials = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    unused = [f"[unused{number}]" for number in range(1, 10)]
    words = ["", *ENGLISH, *KANJI, *JAPANESE_WORDS, *signs, *kana]
    return list(dict.fromkeys([*specials, *unused, *words, *(f"##{piece}" for piece in pieces)]))


def make_bert(
    folder: Path,
    *,
    vocabulary: list[str] | None = None,
    added: tuple[str, ...] = (),
    seed: int = 0,
    shard_size: str = "50GB",
    **config: object,
) -> Path:
    """Write a BERT with WordPiece: by default 2 layers of 32 dimensions, as many rows as tokens.

    Args:
        folder: made where it is missing.
        vocabulary: in the order of ids.
        added: tokens that the tokenizer gets on top; they have no row unless `vocab_size` grows with them.
        seed: of the weights.
        shard_size: of safetensors, such as `40KB` for several files.
        config: of BertConfig (hidden_size, num_hidden_layers, vocab_size, …).
    """
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = bert_vocabulary() if vocabulary is None else vocabulary
    tokenizer = BertTokenizer(
        vocab={text: number for number, text in enumerate(vocabulary)},
        do_lower_case=False,
        model_max_length=64,
    )
    tokenizer.add_tokens(list(added))
    tokenizer.save_pretrained(folder)
    settings = _small() | {"vocab_size": len(vocabulary), "pad_token_id": 0} | config
    return save(BertModel, BertConfig(**settings), folder, seed, shard_size)


def make_roberta(folder: Path, *, seed: int = 0, **config: object) -> Path:
    """Write a RoBERTa with byte-level BPE, `<s> … </s>`: `Ġking` and `王` are tokens, 学 only in parts."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

    vocabulary, merges = _train_bytes(["<s>", "<pad>", "</s>", "<unk>"], size=420)
    vocabulary["<mask>"] = len(vocabulary)
    RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=64).save_pretrained(folder)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    settings = _small() | {"vocab_size": len(vocabulary), "type_vocab_size": 1} | ids | config
    return save(RobertaModel, RobertaConfig(**settings), folder, seed)


def make_xlmr(folder: Path, *, seed: int = 0, **config: object) -> Path:
    """Write an XLM-R with Unigram (SentencePiece), `<s> … </s>`: `▁王` begins a word, `王` goes on."""
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

    words = [f"▁{word}" for word in [*ENGLISH, *KANJI, *JAPANESE_WORDS]]
    letters = [*"abcdefghijklmnopqrstuvwxyz.,-", *(chr(code) for code in range(0x3041, 0x3094))]
    pieces = dict.fromkeys([*words, "▁", *KANJI, *JAPANESE_WORDS, "ing", "s", "ed", *letters])
    # Longer pieces are likelier than the letters they are made of, as in a trained model.
    scored = [(piece, -12.0 + min(len(piece), 6)) for piece in pieces]
    specials = [(text, 0.0) for text in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary = [*specials, *scored, ("<mask>", 0.0)]
    XLMRobertaTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    settings = _small() | {"vocab_size": len(vocabulary), "type_vocab_size": 1} | ids | config
    return save(XLMRobertaModel, XLMRobertaConfig(**settings), folder, seed)


def make_gpt2(folder: Path, *, seed: int = 0, **config: object) -> Path:
    """Write a GPT-2, a decoder with byte-level BPE and no template at all."""
    from transformers import GPT2Config, GPT2Model, GPT2Tokenizer

    vocabulary, merges = _train_bytes([], size=420)
    vocabulary["<|endoftext|>"] = end = len(vocabulary)
    GPT2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=64).save_pretrained(folder)
    small = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.2}
    settings = small | {"vocab_size": end + 1, "bos_token_id": end, "eos_token_id": end} | config
    return save(GPT2Model, GPT2Config(**settings), folder, seed)


def make_japanese(folder: Path, name: str, *, seed: int = 0, **config: object) -> Path:
    """Write a BERT with one of the two real Japanese vocabularies (`japanese-v1`, `japanese-v3`)."""
    from transformers import BertConfig, BertModel

    data = DATA / JAPANESE[name]
    written = json.loads((data / "config.json").read_text(encoding="utf-8"))
    path = save(BertModel, BertConfig(**(written | _small() | config)), folder, seed)
    for file in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(data / file, folder)
    return path


def make_bin(folder: Path, *, seed: int = 0, **config: object) -> Path:
    """Write the BERT of `make_bert` with an old pytorch_model.bin instead of safetensors."""
    import torch
    from safetensors.torch import load_file

    make_bert(folder, seed=seed, **config)
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    return folder


def make_vocabulary_alone(folder: Path, *, seed: int = 0) -> Path:
    """Write a BERT with a Japanese vocab.txt and nothing that names the tokenizer's class."""
    make_japanese(folder, "japanese-v1", seed=seed)
    (folder / "tokenizer_config.json").unlink()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("tokenizer_class", None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def save(model_class: type, config: object, folder: Path, seed: int, shard_size: str = "50GB") -> Path:
    """Write a model with random weights, in biases and norms too, so that none is lost unseen."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2, generator=generator)
            if parameter.ndim == 1:
                parameter.add_(0.5)
    model.save_pretrained(folder, max_shard_size=shard_size)
    return Path(folder)


def _small() -> dict[str, object]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
    }


def _train_bytes(specials: list[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Train byte-level BPE on the sentences; return the vocabulary and its merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*SENTENCES, *(f" {word} {word}" for word in ENGLISH)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


# Every tiny model by name; the fixture `tiny_models` writes each when it is first asked for.
RECIPES: dict[str, Callable[[Path], Path]] = {
    "bert": make_bert,
    "roberta": make_roberta,
    "xlmr": make_xlmr,
    "gpt2": make_gpt2,
    "japanese-v1": lambda folder: make_japanese(folder, "japanese-v1"),
    "japanese-v3": lambda folder: make_japanese(folder, "japanese-v3"),
    "bert-sharded": lambda folder: make_bert(folder, shard_size="40KB"),
    "bert-bin": make_bin,
    "bert-more-rows": lambda folder: make_bert(folder, vocab_size=len(bert_vocabulary()) + 7),
    "bert-more-tokens": lambda folder: make_bert(folder, added=("超電磁砲", "kotovec", "[NEW]")),
    "vocabulary-alone": make_vocabulary_alone,
}
KINDS = ("bert", "roberta", "xlmr", "gpt2", "japanese-v1", "japanese-v3")
