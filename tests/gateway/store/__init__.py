"""Records that stay."""
