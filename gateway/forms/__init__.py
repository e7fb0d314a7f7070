"""Requests that bring files (`multipart/form-data`): sound to transcribe, pictures to change.

`form.py` reads the fields we act on and writes another model's name; `flight.py` is the request on its way. How a form
is split into its parts is told in `engines.multipart`.
"""
