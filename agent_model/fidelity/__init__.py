"""Fidelity: are the search results that a model imagines true?

Stage 3 teaches the model to write observations, and the first stage of RL trains in what it writes
(paper sections 3.2.2 and 3.3). Here the model writes the results of each search of a recorded
trajectory, given the true turn so far. `facts` tells which fact a search was to find and whether
passages state it, `measure` runs the model, and `report` makes the table. May import
`agent_model.data` and `agent_model.dialects`.
"""

from agent_model.fidelity.facts import facts_stated, share_stated

__all__ = ["facts_stated", "share_stated"]
