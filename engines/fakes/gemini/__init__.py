"""Google's Gemini API, and Vertex AI's: generateContent, streamGenerateContent, countTokens, embeddings
and ranking."""
