"""Admission judged: a fleet whose times are known exactly (`hall.py`), and questions with their bars (`cases.py`)."""
