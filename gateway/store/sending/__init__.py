"""A worker's end: its records are gathered, encoded and sent, and lie in files while the writer cannot take them."""
