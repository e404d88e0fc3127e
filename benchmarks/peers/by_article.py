"""The article's loop: one token at a time through transformers' AutoModel, with torch's default threads.

Only a sample of the vocabulary, every n-th token of it, as the whole takes up to an hour; `tokens` and
`encode_seconds` are those of the sample, `vocabulary` is how many there are.

    python by_article.py MODEL [--sample N]
"""

import argparse
import time
from pathlib import Path

import torch
import transformers
import vocabulary


def main() -> None:
    """Encode and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a BERT with a vocab.txt")
    parser.add_argument("--sample", type=int, default=200, help="how many tokens [200]")
    options = parser.parse_args()
    model = transformers.AutoModel.from_pretrained(options.model, trust_remote_code=False).eval()
    everything = vocabulary.sequences(options.model)
    sample = everything[:: max(1, len(everything) // options.sample)][: options.sample]
    vectors = {}
    with torch.no_grad():
        model(torch.tensor([everything[0]]))  # the first call allocates, and is none of the other 32,000
        begin = time.perf_counter()
        for ids in sample:
            vectors[ids[1]] = model(torch.tensor([ids])).last_hidden_state[0, 1].numpy()
        seconds = time.perf_counter() - begin
    vocabulary.tell(len(vectors), seconds, vocabulary=len(everything), threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
