"""One module for each table of a report."""
