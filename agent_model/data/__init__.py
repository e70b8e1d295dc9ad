"""Data synthesis (paper 3.2.1): CoT and CoA trajectories, CoT+A contrastive pairs, exports.

`build` makes a folder of data by `config`: `teachers` give episodes, `filters` choose records from
them, `pairs` makes pairs of them, `folder` writes and reads the result. `export` converts it for
other trainers. May import `agent_model.dialects`, and `export` the tokens.
"""

from agent_model.data.filters import STUDENT, is_well_formed
from agent_model.data.pairs import Pair

__all__ = ["STUDENT", "Pair", "is_well_formed"]
