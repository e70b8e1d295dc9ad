"""A model in this process, run by the transformers library."""
