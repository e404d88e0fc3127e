"""What the spaces of a store know: word pairs against people's scores, and analogies by several measures."""
