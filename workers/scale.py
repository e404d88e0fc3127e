"""The number that a model multiplies its logits by, which is no part of its output matrix."""

from typing import Any

# A setting, the model types that have it, by how these begin, and whether the logits are divided by it.
_SETTINGS = (
    ("logits_scaling", ("granite", "minicpm3"), True),
    ("logits_scaling", ("hyperclovax",), False),
    ("logit_scale", ("cohere",), False),
    ("lm_head_multiplier", ("falcon_h1",), False),
)
_T5 = ("t5", "longt5", "umt5", "switch_transformers", "pop2piano", "udop")


def find(config: Any, text: Any) -> str:
    """Return the scale of the logits and the name of its setting; empty for none.

    Args:
        config: the config of the model.
        text: its part about the text, which may be the config itself.
    """
    kind = str(getattr(config, "model_type", ""))
    for name, kinds, divides in _SETTINGS:
        value = getattr(text, name, None)
        if kind.startswith(kinds) and isinstance(value, int | float) and value not in (0, 1):
            return f"{1 / value if divides else value:.6g}, {'1 ∕ ' if divides else ''}{name}"
    if kind in _T5 and getattr(config, "scale_decoder_outputs", getattr(config, "tie_word_embeddings", False)):
        return f"{text.d_model**-0.5:.6g}, d_model^-0.5"
    return ""
