"""The world's entities and their facts, generated from a seed."""
