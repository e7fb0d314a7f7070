"""Google's generateContent (google-genai types.py; ai.google.dev), at its own door and at Vertex AI's.

A stream is `data:` lines, each a whole GenerateContentResponse of which only the new parts are there; it ends with the
body, and the reason to finish is in the last of them. A call comes whole, in one part, and may bear a
`thoughtSignature` that is to come back with it.
"""
