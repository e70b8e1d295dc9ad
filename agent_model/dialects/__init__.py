"""Dialects of agent models: how each is prompted, read and shown passages."""
