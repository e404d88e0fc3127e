"""The model: where it is, its tokens, its template, and a replica that turns ids into vectors.

Never imports ray, h5py or faiss: a replica runs without a cluster and without a store.
"""
