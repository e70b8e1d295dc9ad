"""Passages in varied prose about a world's entities."""
