"""The vocabulary by Ray Data's `map_batches`: two actors of one CPU, each with transformers' AutoModel.

Ray is given three CPUs: the actors take two for good, and with two in all the tasks that read the ids would wait
for ever. The encoding's seconds go from the first batch's start to the last one's end: neither the start of Ray nor
the loading of the models is in them.

    python by_ray_data.py MODEL
"""

import os
import secrets
import tempfile
import time

import numpy as np
import vocabulary

ACTORS = 2
BATCH = 256  # one thread: 1,560 to 1,740 tokens/s of MiniLM, with 32 up to 1,360, with 512 no more; BERT-base alike
BLOCKS = 32  # of ids: an actor gets a block at a time, and one block alone would leave the other actor idle
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",  # a token of its own: else Ray writes one to the user's home
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


class Encoder:
    """A replica: batches of ids in, the state of each token in the middle of its three out."""

    def __init__(self, folder: str) -> None:
        """Load the model."""
        import torch
        import transformers

        torch.set_num_threads(1)
        self.model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=False).eval()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Encode a batch; tell when."""
        import torch

        begin = time.time()
        inputs = torch.from_numpy(np.array(batch["data"]))
        with torch.inference_mode():
            states = self.model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).last_hidden_state
        vectors = states[:, 1].numpy()
        count = len(vectors)
        return {"vector": vectors, "begin": np.full(count, begin), "end": np.full(count, time.time())}


def main() -> None:
    """Encode and tell."""
    folder = vocabulary.model_folder(__doc__).resolve()
    os.environ.update(ENVIRONMENT)
    import ray

    with tempfile.TemporaryDirectory(prefix="rd-", dir="/tmp") as place:
        ray.init(
            address="local",
            num_cpus=ACTORS + 1,
            object_store_memory=1 << 30,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=place,
        )
        ids = np.array(vocabulary.sequences(folder), dtype=np.int64)
        encoded = ray.data.from_numpy(np.array_split(ids, BLOCKS)).map_batches(
            Encoder,
            fn_constructor_args=(str(folder),),
            compute=ray.data.ActorPoolStrategy(size=ACTORS),
            batch_size=BATCH,
            num_cpus=1,
        )
        batches = list(encoded.iter_batches(batch_size=None, batch_format="numpy"))
        ray.shutdown()
    tokens = sum(len(batch["vector"]) for batch in batches)
    seconds = max(batch["end"].max() for batch in batches) - min(batch["begin"].min() for batch in batches)
    vocabulary.tell(tokens, float(seconds))


if __name__ == "__main__":
    main()
