"""Questions over a world's passages, with their gold chains."""
