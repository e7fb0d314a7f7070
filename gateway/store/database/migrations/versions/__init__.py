"""One file per version; `revision` is its number in four digits."""
