"""AWS Bedrock's Converse and ConverseStream, signed by SigV4 or with a bearer token."""
