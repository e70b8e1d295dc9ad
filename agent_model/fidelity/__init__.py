"""Fidelity: whether the search results that a model imagines are true."""
