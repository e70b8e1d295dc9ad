"""A model of a million weights with a tokenizer of its own, for the nano world."""
