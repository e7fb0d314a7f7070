"""AI21's API: Jamba's chat completions, and the list of models."""
