"""Dialects of models that search by themselves: the agent's, published ones, and tool calls.

`TagDialect` and `AnswerTagDialect` are the base classes, for dialects of third parties too. Imports
nothing else of `agent_model`.
"""

from agent_model.dialects.agent import Agent
from agent_model.dialects.cot import CoT
from agent_model.dialects.r1_searcher import R1Searcher
from agent_model.dialects.research import ReSearch
from agent_model.dialects.search_o1 import SearchO1
from agent_model.dialects.search_r1 import SearchR1
from agent_model.dialects.tags import AnswerTagDialect, TagDialect
from agent_model.dialects.tools import Tools

__all__ = [
    "Agent",
    "AnswerTagDialect",
    "CoT",
    "R1Searcher",
    "ReSearch",
    "SearchO1",
    "SearchR1",
    "TagDialect",
    "Tools",
]
