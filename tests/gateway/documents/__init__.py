"""The pages that are made of the code's tables."""
