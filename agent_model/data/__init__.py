"""Data synthesis (paper 3.2.1): CoT and CoA trajectories, CoT+A contrastive pairs, exports.

`build` makes a folder of data by `config`, from episodes of the `gold_teacher` or of a model:
`filters` choose records from them, `pairs` makes pairs of them, `folder` writes and reads the
result. `export` converts it for other trainers. May import `agent_model.dialects`, and `export`
the tokens.
"""

from agent_model.data.config import DataConfig, DataKind, FilterConfig

__all__ = ["DataConfig", "DataKind", "FilterConfig"]
