"""Dialects of models that have learned to search: the agent's, and two published ones.

`tags` holds their common base classes, for dialects of third parties too. Imports nothing else of
`agent_model`.
"""
