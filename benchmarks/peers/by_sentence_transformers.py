"""The vocabulary by sentence-transformers' multi-process pool: two CPU processes of one thread each.

It takes texts and gives their mean over all positions: a module that hands out the token's own state is not to be
had. The marks of subwords (`##`) are cut off, so that most tokens are one token again; a few become more, and their
sequences longer. The number of sequences is the same. Before the clock one text goes through: one process is up
then, and the other one, started with it, about to be.

    python by_sentence_transformers.py MODEL
"""

import os
import time

import vocabulary

# Two processes that take two threads each slow each other down; and the tokenizer's own threads do the same.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
PROCESSES = 2
BATCH = 256  # one thread: 1,560 to 1,740 tokens/s of MiniLM, with 32 up to 1,360, with 512 no more; BERT-base alike


def main() -> None:
    """Encode and tell."""
    from sentence_transformers import SentenceTransformer

    folder = vocabulary.model_folder(__doc__)
    texts = [text.removeprefix("##") for text in vocabulary.texts(folder)]
    model = SentenceTransformer(str(folder), device="cpu")  # one that is no sentence transformer gets mean pooling
    pool = model.start_multi_process_pool(["cpu"] * PROCESSES)
    try:
        model.encode(texts[:1], pool=pool)
        begin = time.perf_counter()
        vectors = model.encode(texts, pool=pool, batch_size=BATCH)
        seconds = time.perf_counter() - begin
    finally:
        model.stop_multi_process_pool(pool)
    vocabulary.tell(len(vectors), seconds)


if __name__ == "__main__":
    main()
