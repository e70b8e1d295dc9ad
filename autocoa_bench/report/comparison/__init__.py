"""Statistical presentation: which runs are comparable, and which differences are significant."""
