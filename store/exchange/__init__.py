"""Files of vectors that other tools read and write: stores are imported from them, and exported to them."""
