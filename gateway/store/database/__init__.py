"""The database: its tables and their versions, rows as they are written, and the two kinds that answer `port.py`."""
