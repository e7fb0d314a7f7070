"""What is read of the store: single requests, sums of them, exports, and comparisons with what providers billed."""
