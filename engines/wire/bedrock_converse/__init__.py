"""AWS Bedrock's Converse (botocore data/bedrock-runtime/2023-09-30/service-2.json).

Its stream is binary (`engines.eventstream`); whoever cuts it into messages gives each on as an event of its name, with
its payload for data. Only `messageStop` says that an answer is whole, and the usage comes after it; an exception is an
error.
"""
