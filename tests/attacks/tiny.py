"""Models of strangers, written byte by byte: BERTs whose vocabulary, config and weights a test chooses."""

import json
import struct
from pathlib import Path

import numpy as np

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["king", "queen", "man", "woman", "boy", "girl", "王", "女王", "男", "女", "子"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [*SPECIALS, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
SIZE = 32


def write_model(folder: Path, more: list[str] = [], *, finite: bool = True, **config: object) -> Path:  # noqa: B006
    """Write a model.

    Args:
        folder: made.
        more: tokens, after VOCABULARY.
        finite: whether its vectors are numbers; a build of others fails while it encodes.
        config: of config.json.
    """
    folder.mkdir(parents=True)
    vocabulary = [*VOCABULARY, *more]
    settings = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": SIZE,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 66,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": len(vocabulary),
    }
    (folder / "config.json").write_text(json.dumps(settings | config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(vocabulary)))
    names = {f"{name.strip('[]').lower()}_token": name for name in SPECIALS}
    kind = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind | names))
    write_weights(folder / "model.safetensors", len(vocabulary), finite=finite)
    return folder


def tokenizer(vocabulary: list[str]) -> dict:
    """Return the tokenizer.json of a WordPiece."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    first, text, last = ({"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, None)
    last = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    marks = {name: {"id": name, "ids": [vocabulary.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    template = {"type": "TemplateProcessing", "single": [first, text, last], "special_tokens": marks}
    return {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": name} | flags for number, name in enumerate(SPECIALS)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template | {"pair": [first, text, last, {"Sequence": {"id": "B", "type_id": 1}}, last]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {text: number for number, text in enumerate(vocabulary)},
        },
    }


def shapes(rows: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights, by their names."""
    found = {
        "embeddings.word_embeddings.weight": (rows, SIZE),
        "embeddings.position_embeddings.weight": (66, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
        "embeddings.LayerNorm.weight": (SIZE,),
        "embeddings.LayerNorm.bias": (SIZE,),
    }
    dense = {f"attention.self.{name}": (SIZE, SIZE) for name in ("query", "key", "value")}
    dense |= {"attention.output.dense": (SIZE, SIZE), "intermediate.dense": (64, SIZE), "output.dense": (SIZE, 64)}
    for layer in range(2):
        for name, shape in dense.items():
            found[f"encoder.layer.{layer}.{name}.weight"] = shape
            found[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output", "output"):
            for part in ("weight", "bias"):
                found[f"encoder.layer.{layer}.{name}.LayerNorm.{part}"] = (SIZE,)
    return found | {"pooler.dense.weight": (SIZE, SIZE), "pooler.dense.bias": (SIZE,)}


def write_weights(path: Path, rows: int, *, finite: bool = True, seed: int = 0) -> None:
    """Write seeded weights as safetensors: the length of the header, the header, and the tensors."""
    random, header, tensors, offset = np.random.default_rng(seed), {}, [], 0
    for name, shape in shapes(rows).items():
        tensor = random.normal(0.5 if len(shape) == 1 else 0.0, 0.2, shape).astype("<f4")
        if not finite and name.startswith("encoder.layer.1.output.dense"):
            tensor[:] = np.nan
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
        tensors.append(tensor.tobytes())
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(tensors))


def change(path: Path, **changes: object) -> None:
    """Change some keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
