"""Contexts: sentences of a corpus that are chosen for each item of a store, found on Ray, and encoded."""
