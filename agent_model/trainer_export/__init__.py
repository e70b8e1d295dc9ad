"""GRPO handed to other trainers: the recipe's data, episodes and reward, in their own terms."""
