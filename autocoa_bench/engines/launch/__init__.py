"""Engines that start a model server of their own and stop it with the run."""
