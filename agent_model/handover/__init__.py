"""The former name of `trainer_export`, which the scripts of older exported folders import."""

from agent_model import trainer_export

__path__ = trainer_export.__path__
