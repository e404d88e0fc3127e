"""The model: where its files are, its tokens, its template, and a replica that turns ids into vectors.

This package never imports ray, h5py or faiss: a replica runs without a cluster and without a store.
"""
