"""Renderers: a report in a terminal, as Markdown, LaTeX, CSV, JSON and plots."""
