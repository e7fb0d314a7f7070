"""Azure OpenAI: OpenAI's formats at two shapes of URL, with the verdicts of content filters."""
