"""The client of OpenAI-compatible model servers."""
