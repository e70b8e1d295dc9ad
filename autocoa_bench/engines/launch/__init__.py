"""Engines that start a model server of their own and stop it after the run."""
