"""AWS Bedrock's Converse (botocore data/bedrock-runtime/2023-09-30/service-2.json).

Its stream is binary (`engines.eventstream`), and each message of it is an event. Only `messageStop` says that an answer
is whole, and the usage comes after it; an exception is an error.
"""
