"""The vocabulary by model2vec's own function for it, `create_embeddings`, with torch's default threads.

What follows in model2vec's `distill` (PCA, weights, 16 bits) is left out, and so are its tokenizer's seconds before:
it gets ids. Its vectors are means over `[CLS] token [SEP]`.

    python by_model2vec.py MODEL
"""

import time

import torch
import transformers
import vocabulary
from model2vec.distill.inference import create_embeddings


def main() -> None:
    """Encode and tell."""
    folder = vocabulary.model_folder(__doc__)
    model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=False)
    inputs = vocabulary.sequences(folder)
    begin = time.perf_counter()
    vectors = create_embeddings(model, inputs, device="cpu", pad_token_id=0)
    seconds = time.perf_counter() - begin
    vocabulary.tell(len(vectors), seconds, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
