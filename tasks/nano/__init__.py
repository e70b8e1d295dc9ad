"""The nano world: one-word names, short passages, for models of a million weights."""
