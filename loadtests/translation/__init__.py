"""How many events a gateway translates in a second of one core, and next to a peer (`make bench-translation`)."""
