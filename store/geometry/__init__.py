"""The geometry of a space: how narrow its cone is, which dimensions and which tokens dominate it."""
