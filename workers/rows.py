"""Whether tokenizer and model belong together: template, special tokens and config.json against the rows."""

import json
from collections.abc import Iterator
from typing import Any, TypeGuard

from kotovec.errors import ModelError
from kotovec.workers.model import Model
from kotovec.workers.tokenizer import Template, Vocabulary
from kotovec.workers.tokenizer_files import (
    CLASS,
    ROLES,
    TOKENIZER,
    computes_ids,
    named_tokens,
    words_read_otherwise,
)

OTHER = "check that the tokenizer's files are this model's, and complete"


def check_template(model: Model, tokenizer: Any, vocabulary: Vocabulary, template: Template, rows: int) -> None:
    """Check that the model has a row for every token of the template, and that they are the tokens it names.

    Raises:
        ModelError: a token of the template has no row, is not in the vocabulary, or is another one by its text.
    """
    known = dict(zip(vocabulary.ids, vocabulary.texts, strict=True))
    for token_id in (*template.prefix, *template.suffix):
        if not 0 <= token_id < rows:
            text = known.get(token_id)
            named = f" (`{text}`)" if text else ""
            raise ModelError(
                f"the template of {model.name} has the id {token_id}{named}, the model has the rows 0 to {rows - 1}",
                hint=OTHER,
            )
        if token_id not in known:
            raise ModelError(
                f"the template of {model.name} has the id {token_id}, to which the tokenizer's files give no token",
                hint=OTHER,
            )
    for text, token_id in _named_in_template(tokenizer):
        if token_id in (*template.prefix, *template.suffix) and known[token_id] != text:
            raise ModelError(
                f"the template of {model.name} names `{text}` and gives its id as {token_id}, which is "
                f"`{known[token_id]}`",
                hint=OTHER,
            )


def check_roles(model: Model, tokenizer: Any, vocabulary: Vocabulary, rows: int) -> tuple[str, ...]:
    """Compare the ids that config.json says of special tokens with the tokenizer's; return notices.

    Raises:
        ModelError: all differ by the same number, or they differ and no file lists the ids: every token would have
            another one's row.
    """
    said, config = model.config, model.described
    computed = computes_ids(model.source.folder)
    known = dict(zip(vocabulary.ids, vocabulary.texts, strict=True))
    notices, compared, differ, shifts = [], set(), set(), {}
    for role in ROLES:
        name = f"{role}_token_id"
        wanted = getattr(config, name, None) if computed else said.get(name)
        if not _is_id(wanted) or wanted >= rows:
            continue
        found = getattr(tokenizer, name, None)
        if found is None:
            continue
        compared.add(role)
        shifts[wanted] = found - wanted
        if found == wanted:
            continue
        differ.add(role)
        text = known.get(found, getattr(tokenizer, f"{role}_token"))
        is_now = f"`{known[wanted]}`" if wanted in known else "no token"
        notices.append(f"config.json says {name} {wanted}, which is {is_now}; the tokenizer's `{text}` is {found}")
    # BigBird's config.json swaps bos and eos, MiniLM's has BERT's pad: one of them alone is no sign of a shift.
    if computed and "bos" in differ and ("pad" in differ or "pad" not in compared):
        raise ModelError(
            f"the tokenizer that transformers makes for {model.name} has other ids: {notices[0]}", hint=CLASS
        )
    if notices and len(shifts) > 1 and len(set(shifts.values())) == 1:
        raise ModelError(
            f"the ids of the tokenizer of {model.name} are shifted by {next(iter(shifts.values()))}: {notices[0]}",
            hint=OTHER,
        )
    return tuple(notices)


def notice_tokenizer(
    model: Model, tokenizer: Any, vocabulary: Vocabulary, template: Template, rows: int
) -> tuple[str, ...]:
    """Return notices about tokens without a row, settings that are not followed, and a template that looks wrong."""
    return (
        *_lacking_tokens(model, vocabulary, rows),
        *_settings_not_followed(model, tokenizer, template),
        *_forms_read_otherwise(model, tokenizer),
        *_bare_template(model.described, tokenizer, vocabulary, template),
    )


def _lacking_tokens(model: Model, vocabulary: Vocabulary, rows: int) -> Iterator[str]:
    known = {text: token_id for token_id, text in zip(vocabulary.ids, vocabulary.texts, strict=True)}
    roles, others = named_tokens(model)
    for text in dict.fromkeys([*roles.values(), *others]):
        if text not in known:
            yield f"the tokenizer's settings name `{text}`, to which its files give no id: it is left out"
        elif known[text] >= rows:
            yield f"the tokenizer adds `{text}` as id {known[text]}, for which the model has no row: it is left out"
    added = [text for text, token_id in known.items() if token_id >= rows and token_id in vocabulary.added]
    if others_added := [text for text in added if text not in {*roles.values(), *others}]:
        yield (
            f"the tokenizer adds {len(others_added):,} tokens for which the model has no row (`{others_added[0]}`, …): "
            "they are left out"
        )


def _settings_not_followed(model: Model, tokenizer: Any, template: Template) -> Iterator[str]:
    """Yield settings of `tokenizer_config.json` that `tokenizer.json`, which is followed, contradicts."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not (model.source.folder / TOKENIZER).is_file():
        return
    settings = model.tokenizer_config
    for role, ids in (("bos", template.prefix), ("eos", template.suffix)):
        wanted, token_id = settings.get(f"add_{role}_token"), getattr(tokenizer, f"{role}_token_id")
        if isinstance(wanted, bool) and token_id is not None and wanted != (token_id in ids):
            yield _contradicts(f"add_{role}_token", wanted=wanted)
    if settings.get("add_prefix_space") is True and _prepends(backend) is False:
        yield _contradicts("add_prefix_space", wanted=True)
    if settings.get("split_special_tokens") is True:  # tokenizer.json has no such setting
        yield _contradicts("split_special_tokens", wanted=True)
    if type(backend.normalizer).__name__ == "BertNormalizer":
        wanted, lowers = settings.get("do_lower_case"), backend.normalizer.lowercase
        if isinstance(wanted, bool) and wanted != lowers:
            yield _contradicts("do_lower_case", wanted=wanted)


def _prepends(backend: Any) -> bool | None:
    """Return whether a tokenizer puts a space before a text; None where its steps have no such setting."""
    parts = [
        json.loads(each.__getstate__()) for each in (backend.normalizer, backend.pre_tokenizer) if each is not None
    ]
    found = None
    while parts:
        part = parts.pop()
        parts += [*part.get("normalizers", ()), *part.get("pretokenizers", ())]
        if part.get("type") == "Prepend" or part.get("prepend_scheme", "never") != "never":
            return True
        if "add_prefix_space" in part or "prepend_scheme" in part:
            found = bool(found or part.get("add_prefix_space"))
    return found


def _forms_read_otherwise(model: Model, tokenizer: Any) -> Iterator[str]:
    file, forms = words_read_otherwise(model.source.folder, tokenizer)
    if forms:
        yield (
            f"the tokenizer that transformers makes of {file} reads {' '.join(forms)} otherwise than the file: "
            "words that are no token would be misread"
        )


def _contradicts(name: str, *, wanted: bool) -> str:
    return f"tokenizer_config.json says {name} {str(wanted).lower()}, {TOKENIZER} does not: {TOKENIZER} is followed"


def _bare_template(config: Any, tokenizer: Any, vocabulary: Vocabulary, template: Template) -> Iterator[str]:
    """Yield a notice where an encoder was trained with tokens around a text that its tokenizer does not put there."""
    import transformers

    if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        return
    first = getattr(tokenizer, "cls_token", None) or next(
        (text for text in ("[CLS]", "<s>") if text in set(vocabulary.texts)), None
    )
    if not (template.prefix or template.suffix):
        yield "the tokenizer puts no tokens around a text: the model may have been trained with some"
    elif first is not None and vocabulary.ids[list(vocabulary.texts).index(first)] not in template.prefix:
        yield f"the tokenizer does not put its `{first}` before a text: the model may have been trained with it"


def _named_in_template(tokenizer: Any) -> Iterator[tuple[str, int]]:
    """Yield the texts and ids of tokens as the tokenizer's template writes them."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.post_processor is None:
        return
    parts = [json.loads(backend.post_processor.__getstate__())]
    while parts:
        part = parts.pop()
        parts += part.get("processors", ())
        for pair in (part.get("cls"), part.get("sep")):
            if pair is not None:
                yield pair[0], pair[1]
        for token in (part.get("special_tokens") or {}).values():
            yield from zip(token["tokens"], token["ids"], strict=True)


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
