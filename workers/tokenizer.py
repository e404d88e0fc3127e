"""The model's own tokenizer: how it is loaded, its tokens by id, and the template around a token."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.errors import MissingDependencyError, ModelError, first_line, quoted
from kotovec.panics import panics_as
from kotovec.workers.claims import DOWNLOAD
from kotovec.workers.foreign_code import refuse_code
from kotovec.workers.model import Model

PROBE = "a"  # any text that becomes at least one token


@dataclass(frozen=True)
class Template:
    """The ids before and after a token: `[CLS]` and `[SEP]` for BERT, none at all for GPT-2."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    @property
    def length(self) -> int:
        """Length of a sequence with one token in the template."""
        return len(self.prefix) + 1 + len(self.suffix)


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a tokenizer.

    Attributes:
        ids: ids of all tokens, ascending.
        texts: text of each token, as the vocabulary spells it.
        special: ids of special tokens.
        unk_id: id of the unknown token, or −1.
        marking: how words are marked: `wordpiece`, `metaspace`, `bytelevel`, `suffix` or `none`.
        rewritten: words that the tokenizer's own normalizer changes, each with the result.
    """

    ids: Sequence[int]
    texts: Sequence[str]
    special: frozenset[int]
    unk_id: int
    marking: str
    rewritten: Sequence[tuple[str, str]]


def load_tokenizer(model: Model, mecab_dic: str | None = None) -> tuple[Any, str | None]:
    """Load a model's tokenizer.

    A BertJapaneseTokenizer whose config names no MeCab dictionary dates from when ipadic was the default;
    transformers 5 would use unidic_lite, and split words in another way than in the training of the model.

    Args:
        model: the model.
        mecab_dic: MeCab dictionary that overrides the config, or None.

    Returns:
        The tokenizer, and the MeCab dictionary's name (None without MeCab).

    Raises:
        ModelError: there is no tokenizer, it does not load, or it does not use MeCab although `mecab_dic` is given,
            or it gives MeCab an option that could do more than weigh words.
        MissingDependencyError: MeCab or its dictionary is missing.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder = model.source.folder
    # With its config, transformers need not load that once more.
    options: dict[str, Any] = {"config": model.pretrained_config}
    mecab = _mecab_options(model)
    if mecab is None and mecab_dic is not None:
        raise ModelError(f"{model.name} does not use MeCab", hint="leave out --mecab-dic")
    if mecab is not None:
        mecab["mecab_dic"] = mecab_dic or mecab.get("mecab_dic", "ipadic")
        options["mecab_kwargs"] = mecab
        _check_mecab(mecab["mecab_dic"])
    try:
        with panics_as(ValueError):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    except ImportError as error:
        package = next((name for name in ("fugashi", "ipadic", "unidic_lite") if name in str(error)), None)
        needed = package or f"a package ({first_line(error)})"
        hint = f"install it: pip install {package.replace('_', '-')}" if package else None
        raise MissingDependencyError(f"the tokenizer of {model.name} needs {needed}", hint=hint) from error
    except Exception as error:  # transformers raises anything from OSError to KeyError here
        if "trust_remote_code" in str(error):
            raise refuse_code(model.name, model.code, "AutoTokenizer") from error
        raise ModelError(f"{model.name} has no tokenizer that transformers can load: {first_line(error)}") from error
    special = set(tokenizer.all_special_tokens)
    if not any(text.strip("▁") and text not in special for text in tokenizer.get_vocab()):
        # where the folder has no tokenizer, transformers 5 makes one of [PAD], [UNK], …
        raise ModelError(f"{model.name} has no tokenizer: neither tokenizer.json nor a vocab file is in {folder}")
    return tokenizer, None if mecab is None else mecab["mecab_dic"]


def _panicked(reason: str) -> ModelError:
    return ModelError(f"the model's tokenizer is damaged ({reason})", hint=DOWNLOAD)


@panics_as(_panicked)
def list_vocabulary(tokenizer: Any) -> Vocabulary:
    """List every token of a tokenizer by id, added ones included."""
    by_id = {token_id: text for text, token_id in tokenizer.get_vocab().items()}
    ids = sorted(by_id)
    special = set(tokenizer.all_special_ids)
    special |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    unknown = tokenizer.unk_token_id
    marking = _marking(tokenizer)
    texts = [by_id[token_id] for token_id in ids]
    return Vocabulary(
        ids=ids,
        texts=texts,
        special=frozenset(special),
        unk_id=-1 if unknown is None else int(unknown),
        marking=marking,
        rewritten=_rewritten(tokenizer, texts, marking),
    )


@panics_as(_panicked)
def find_template(tokenizer: Any) -> Template:
    """Find the ids that the tokenizer puts around a sequence, without assuming which they are.

    Raises:
        ModelError: the tokenizer gives no way to find them.
    """
    if hasattr(tokenizer, "build_inputs_with_special_tokens"):
        probe = -7  # an id that no template contains
        ids = list(tokenizer.build_inputs_with_special_tokens([probe]))
        if ids.count(probe) == 1:
            position = ids.index(probe)
            return Template(tuple(ids[:position]), tuple(ids[position + 1 :]))
    encoded = tokenizer(PROBE, return_special_tokens_mask=True)
    ids, mask = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    if 0 not in mask:
        raise ModelError(f"the tokenizer turns {quoted(PROBE)} into special tokens only, and its template is unknown")
    first, last = mask.index(0), len(mask) - 1 - mask[::-1].index(0)
    return Template(tuple(ids[:first]), tuple(ids[last + 1 :]))


@panics_as(_panicked)
def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer's own files into a folder."""
    tokenizer.save_pretrained(folder)


def _mecab_options(model: Model) -> dict[str, Any] | None:
    """Return the `mecab_kwargs` of a Japanese tokenizer that uses MeCab, or None for any other."""
    config = {**model.config, **model.tokenizer_config}
    if config.get("tokenizer_class") != "BertJapaneseTokenizer" or config.get("word_tokenizer_type") != "mecab":
        return None
    return dict(config.get("mecab_kwargs") or {})


def _check_mecab(dictionary: str | None) -> None:
    if dictionary not in (None, "ipadic", "unidic_lite", "unidic"):
        raise ModelError(
            f"unknown MeCab dictionary {quoted(dictionary)}", hint="choose `ipadic`, `unidic_lite` or `unidic`"
        )
    for module in ("fugashi", dictionary):
        if module is not None and importlib.util.find_spec(module) is None:
            package = module.replace("_", "-")
            raise MissingDependencyError(
                f"this model's tokenizer needs {module}", hint=f"install it: pip install {package}"
            )


def _marking(tokenizer: Any) -> str:
    """Return how a vocabulary marks words, from the parts of the tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer in Python, usually BertJapaneseTokenizer
        subword = getattr(tokenizer, "subword_tokenizer_type", None)
        return {"wordpiece": "wordpiece", "sentencepiece": "metaspace"}.get(str(subword), "none")
    model = backend.model
    if type(model).__name__ == "WordPiece":
        return "wordpiece"
    if getattr(model, "end_of_word_suffix", None) == "</w>":
        return "suffix"
    parts = [] if backend.decoder is None else [backend.decoder.__getstate__().decode("utf-8", "replace")]
    parts += [] if backend.pre_tokenizer is None else [backend.pre_tokenizer.__getstate__().decode("utf-8", "replace")]
    if any('"ByteLevel"' in part for part in parts):
        return "bytelevel"
    return "metaspace" if any('"Metaspace"' in part or "▁" in part for part in parts) else "none"


def _rewritten(tokenizer: Any, texts: Sequence[str], marking: str) -> list[tuple[str, str]]:
    """Return the words of a WordPiece vocabulary that its own normalizer would change.

    None are expected. Thousands mean that the folder does not name the tokenizer of the vocabulary: BERT's default
    converts to lower case and strips accents, and turns が into か.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if marking != "wordpiece" or backend is None or backend.normalizer is None:
        return []
    specials = set(tokenizer.all_special_tokens)
    words = [text for text in texts if text and not text.startswith("##") and text not in specials]
    pairs = [(word, backend.normalizer.normalize_str(word).strip()) for word in words if "[unused" not in word]
    return [(word, normal) for word, normal in pairs if normal != word and " " not in normal]
