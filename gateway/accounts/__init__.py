"""What a request leaves behind: its record, its price, and what it counts for."""
