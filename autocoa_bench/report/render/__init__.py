"""Renderers of reports: terminal, Markdown, LaTeX, CSV, JSON, and plots.

`layout` fits tables to a width; `plots` says what to draw of a table and `plot_figures` draws it.
`report` exports the renderers of text. May import: `report.model`, `report.entries` and
`report.tables`.
"""
