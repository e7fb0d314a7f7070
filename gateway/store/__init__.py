"""Records that stay: one per settled request, in SQLite or PostgreSQL, and the sums that reports are made of.

Nothing here holds a request. A worker hands its records on in batches and keeps each until the writer has it for good;
what the writer cannot take in time goes to a file, and from there to the database later, once. README.md says where
what is.
"""
