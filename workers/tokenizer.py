"""The model's own tokenizer: how it is loaded, its tokens by id, and the template around a token."""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.errors import MissingDependencyError, ModelError, choices, first_line, quoted
from kotovec.growth import MOST_BYTES, times_normalized
from kotovec.mecab import DICTIONARIES
from kotovec.panics import panics_as
from kotovec.workers.foreign_code import refuse_code
from kotovec.workers.json_files import DOWNLOAD
from kotovec.workers.model import Model
from kotovec.workers.tokenizer_files import (
    TOKENIZER,
    check_ids,
    check_pieces_bounded,
    invented_ids,
    listed_texts,
    read_tokenizer,
)
from kotovec.workers.tokenizer_reasons import explain, without_files

PROBE = "a"  # any text that becomes at least one token
PROBE_ID = (1 << 32) - 1  # an id that no template contains


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
        added: ids of tokens added beside the vocabulary, which are texts as they stand.
    """

    ids: Sequence[int]
    texts: Sequence[str]
    special: frozenset[int]
    unk_id: int
    marking: str
    rewritten: Sequence[tuple[str, str]]
    added: frozenset[int] = frozenset()


def load_tokenizer(model: Model, mecab_dic: str | None = None) -> tuple[Any, str | None]:
    """Load a model's tokenizer: that of its `tokenizer.json`, or the one that transformers makes of its other files.

    A BertJapaneseTokenizer whose config names no MeCab dictionary dates from when ipadic was the default;
    transformers 5 would use unidic_lite, and split words in another way than in the training of the model.

    Args:
        model: the model.
        mecab_dic: MeCab dictionary that overrides the config, or None.

    Returns:
        The tokenizer, and the MeCab dictionary's name (None without MeCab).

    Raises:
        ModelError: there is no tokenizer, it does not load, its ids are not those of the model's files, it does not use
            MeCab although `mecab_dic` is given, or it gives MeCab an option that could do more than weigh words.
        MissingDependencyError: MeCab or its dictionary is missing.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder = model.source.folder
    # With its config, transformers need not load that once more.
    options: dict[str, Any] = {"config": model.described}
    mecab = _mecab_options(model)
    if mecab is None and mecab_dic is not None:
        raise ModelError(f"{model.name} does not use MeCab", hint="leave out --mecab-dic")
    if mecab is not None:
        mecab["mecab_dic"] = mecab_dic or mecab.get("mecab_dic", "ipadic")
        options["mecab_kwargs"] = mecab
        _check_mecab(mecab["mecab_dic"])
    tokenizer = None if _is_japanese(model) else read_tokenizer(model)
    if tokenizer is None:
        tokenizer = _build_tokenizer(model, options)
    special = set(tokenizer.all_special_tokens)
    if not any(text.strip("▁") and text not in special for text in tokenizer.get_vocab()):
        # where the folder has no tokenizer, transformers 5 makes one of [PAD], [UNK], …
        if (folder / "vocab.txt").is_file():
            raise ModelError(
                f"{model.name} has no tokenizer: transformers' {type(tokenizer).__name__} does not read its vocab.txt",
                hint="set tokenizer_class in tokenizer_config.json to the class that does",
            )
        raise without_files(model)
    check_ids(model, tokenizer)
    return tokenizer, None if mecab is None else mecab["mecab_dic"]


def _build_tokenizer(model: Model, options: dict[str, Any]) -> Any:
    """Return the tokenizer that transformers makes of a model's files by its class."""
    import transformers

    if (files := model.tokenizer_config.get("fast_tokenizer_files")) is not None:  # which transformers would read
        problem = f"{model.name} names other files in place of a {TOKENIZER} ({quoted(str(files)[:80])})"
        raise ModelError(problem, hint=f"rename the right one to {TOKENIZER}")
    check_pieces_bounded(model)
    try:
        # Where mistral-common is installed, transformers would take its tokenizer, with other ids.
        with panics_as(ValueError):
            return transformers.AutoTokenizer.from_pretrained(
                model.source.folder, trust_remote_code=False, mistral_format=False, **options
            )
    except ImportError as error:
        package = _missing_package(error)
        needed = package or f"a package ({first_line(error)})"
        hint = f"install it: pip install {package.replace('_', '-')}" if package else None
        raise MissingDependencyError(f"the tokenizer of {model.name} needs {needed}", hint=hint) from error
    except Exception as error:  # transformers raises anything from OSError to KeyError here
        if "trust_remote_code" in str(error):
            raise refuse_code(model.name, model.code, "AutoTokenizer") from error
        reason, hint = explain(model, error)
        raise ModelError(f"{model.name} has no tokenizer that transformers can load: {reason}", hint=hint) from error


def _missing_package(error: BaseException) -> str | None:
    """Return the package that an ImportError of transformers is about."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ModuleNotFoundError) and found.name:
            return found.name.partition(".")[0]
        found = found.__cause__ or found.__context__
    return next((name for name in ("fugashi", "ipadic", "unidic_lite") if name in str(error)), None)


def _panicked(reason: str) -> ModelError:
    return ModelError(f"the model's tokenizer is damaged ({reason})", hint=DOWNLOAD)


@panics_as(_panicked)
def list_vocabulary(tokenizer: Any, model: Model | None = None) -> Vocabulary:
    """List every token of a tokenizer by id, added ones included.

    Args:
        tokenizer: the tokenizer.
        model: the model; tokens that transformers adds to those of its files are left out.
    """
    invented = frozenset[int]() if model is None else invented_ids(model, tokenizer)
    by_id = {token_id: text for text, token_id in tokenizer.get_vocab().items() if token_id not in invented}
    by_id |= {} if model is None else listed_texts(model.source.folder, tokenizer)
    ids = sorted(by_id)
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
    unknown = _unknown_id(tokenizer)
    if unknown is not None:
        special.add(unknown)
    marking = _marking(tokenizer)
    texts = [by_id[token_id] for token_id in ids]
    return Vocabulary(
        ids=ids,
        texts=texts,
        special=frozenset(special),
        unk_id=unknown if unknown is not None and unknown in by_id else -1,
        marking=marking,
        rewritten=_rewritten(tokenizer, texts, marking),
        added=frozenset(added),
    )


def _unknown_id(tokenizer: Any) -> int | None:
    """Return the id that the tokenizer gives to what it does not know: its model's own, whatever settings name."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.unk_token_id  # type: ignore[no-any-return]
    if type(backend.model).__name__ == "Unigram":  # which does not show its attribute
        found = re.match(rb'\{"type":"Unigram","unk_id":(\d+),', backend.model.__getstate__()[:64])
        own = None if found is None else int(found[1])
    else:
        text = getattr(backend.model, "unk_token", None)
        own = backend.token_to_id(text) if text else None
    return tokenizer.unk_token_id if own is None else own


@panics_as(_panicked)
def find_template(tokenizer: Any) -> Template:
    """Find the ids that the tokenizer puts around a sequence, without assuming which they are.

    Raises:
        ModelError: the tokenizer gives no way to find them.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return _split_template(_around_one_token(backend))
    if hasattr(tokenizer, "build_inputs_with_special_tokens"):
        ids = list(tokenizer.build_inputs_with_special_tokens([PROBE_ID]))
        if ids.count(PROBE_ID) == 1:
            return _split_template(ids)
    encoded = tokenizer(PROBE, return_special_tokens_mask=True)
    ids, mask = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    if 0 not in mask:
        raise ModelError(f"the tokenizer turns {quoted(PROBE)} into special tokens only, and its template is unknown")
    first, last = mask.index(0), len(mask) - 1 - mask[::-1].index(0)
    return Template(tuple(ids[:first]), tuple(ids[last + 1 :]))


def _around_one_token(backend: Any) -> list[int]:
    """Return the ids of a sequence of `PROBE_ID` alone in the template.

    Another vocabulary stands in for the tokenizer's, which may have no token for any given text.
    """
    from tokenizers import Tokenizer, models

    probe = Tokenizer(models.WordLevel({PROBE: PROBE_ID}, unk_token=PROBE))
    probe.post_processor = backend.post_processor
    return list(probe.encode(PROBE).ids)


def _split_template(ids: Sequence[int]) -> Template:
    if ids.count(PROBE_ID) != 1:
        raise ModelError("the tokenizer's template does not hold a sequence exactly once")
    position = ids.index(PROBE_ID)
    return Template(tuple(ids[:position]), tuple(ids[position + 1 :]))


def origin(model: Model, tokenizer: Any) -> str:
    """Return where the tokens come from: the model's own file, or a class of transformers."""
    of_file = (model.source.folder / TOKENIZER).is_file() and not _is_japanese(model)
    return f"its {TOKENIZER}" if of_file else f"transformers' own {type(tokenizer).__name__}"


@panics_as(_panicked)
def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer's own files into a folder."""
    tokenizer.save_pretrained(folder)


def _mecab_options(model: Model) -> dict[str, Any] | None:
    """Return the `mecab_kwargs` of a Japanese tokenizer that uses MeCab, or None for any other."""
    config = {**model.config, **model.tokenizer_config}
    if not _is_japanese(model) or config.get("word_tokenizer_type") != "mecab":
        return None
    return dict(config.get("mecab_kwargs") or {})


def _is_japanese(model: Model) -> bool:
    """Return whether words are split by code (MeCab, Sudachi, Juman++), which no tokenizer.json holds."""
    return {**model.config, **model.tokenizer_config}.get("tokenizer_class") == "BertJapaneseTokenizer"


def _check_mecab(dictionary: str | None) -> None:
    if dictionary not in (None, *DICTIONARIES):
        raise ModelError(f"unknown MeCab dictionary {quoted(dictionary)}", hint=f"choose {choices(DICTIONARIES)}")
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
    if type(model).__name__ == "WordPiece" or getattr(model, "continuing_subword_prefix", None) == "##":
        return "wordpiece" if model.continuing_subword_prefix == "##" else "none"
    if getattr(model, "end_of_word_suffix", None) == "</w>":
        return "suffix"
    stages = (backend.decoder, backend.pre_tokenizer, backend.normalizer)
    parts = [stage.__getstate__().decode("utf-8", "replace") for stage in stages if stage is not None]
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
    most = MOST_BYTES / times_normalized(backend.normalizer) / 4  # a character has up to 4 bytes
    words = [text for text in texts if 0 < len(text) < most and not text.startswith("##") and text not in specials]
    pairs = [(word, backend.normalizer.normalize_str(word).strip()) for word in words if "[unused" not in word]
    return [(word, normal) for word, normal in pairs if normal != word and " " not in normal]
