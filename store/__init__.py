"""The vector database: tokens, HDF5, faiss, expressions and search. It never imports torch, transformers or Ray."""

from kotovec.store.answer import Answer, Hit
from kotovec.store.database import Store
from kotovec.store.tokens import Kind, Tokens

open_store = Store.open

__all__ = ["Answer", "Hit", "Kind", "Store", "Tokens", "open_store"]
