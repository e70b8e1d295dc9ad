"""Data synthesis (paper 3.2.1): CoT and CoA trajectories, CoT+A contrastive pairs, exports."""
