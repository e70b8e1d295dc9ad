"""Model weights: downloads, loading, LoRA adapters and conversion."""
