"""The token before the others of a decoder: its first position is an attention sink, and no state of a token.

GPT-2, Llama and Qwen give whatever comes first a hidden state of another kind, tens of times as long as all others.
Where the template puts nothing there, the token of the beginning is put there.
"""

from typing import Any

from kotovec.workers.model import Model
from kotovec.workers.tokenizer import Template, Vocabulary

END = "<|endoftext|>"  # what texts were separated by in training, where there is no token of the beginning
_NO_BOS = "this decoder has no token of the beginning: its first position, where each token is, is an attention sink"
_IDLE = "--no-bos changes nothing here: it is for decoders whose own template begins with no token"
_BOTH_WAYS = ("xlnet",)  # a decoder by its classes, which attends to what follows as well


def begin_with_bos(
    model: Model, tokenizer: Any, vocabulary: Vocabulary, template: Template, rows: int, *, wanted: bool = True
) -> tuple[Template, tuple[str, ...]]:
    """Return the template of a model with a token before each other, and notices; any other template as it is.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        vocabulary: all tokens of the tokenizer.
        template: the ids that the tokenizer puts around a token.
        rows: number of rows of the input embedding matrix.
        wanted: whether a token is to be put there at all.
    """
    if template.prefix or not _is_decoder(model):
        return template, () if wanted else (_IDLE,)
    if not wanted:
        return template, ()
    known = dict(zip(vocabulary.texts, vocabulary.ids, strict=True))
    own = getattr(tokenizer, "bos_token_id", None)
    found = next((each for each in (own, known.get(END)) if isinstance(each, int) and 0 <= each < rows), None)
    if found is None or found not in set(vocabulary.ids):
        return template, (_NO_BOS,)
    text = vocabulary.texts[list(vocabulary.ids).index(found)]
    said = f"`{text}` (id {found}) is put before each token, as the first position of a decoder is an attention sink"
    return Template((found, *template.prefix), template.suffix), (f"{said}: --no-bos leaves it out",)


def _is_decoder(model: Model) -> bool:
    """Return whether a model attends only to what precedes, and is not an encoder-decoder's half."""
    import transformers

    config = model.described
    return (
        type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
        and type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING
        and config.model_type not in _BOTH_WAYS
        and not getattr(config, "is_encoder_decoder", False)
    )
