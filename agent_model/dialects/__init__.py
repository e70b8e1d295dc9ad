"""Dialects of models that have learned to search: the agent's, and two published ones.

`TagDialect` and `AnswerTagDialect` are the base classes, for dialects of third parties too. Imports
nothing else of `agent_model`.
"""

from agent_model.dialects.agent import Agent
from agent_model.dialects.cot import CoT
from agent_model.dialects.r1_searcher import R1Searcher
from agent_model.dialects.search_r1 import SearchR1
from agent_model.dialects.tags import AnswerTagDialect, TagDialect

__all__ = ["Agent", "AnswerTagDialect", "CoT", "R1Searcher", "SearchR1", "TagDialect"]
