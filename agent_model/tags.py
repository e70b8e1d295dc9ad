"""The documented import path of the tag dialects' base classes; they live in `dialects.tags`."""

from agent_model.dialects.tags import AnswerTagDialect, TagDialect

__all__ = ["AnswerTagDialect", "TagDialect"]
