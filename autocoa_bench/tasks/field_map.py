"""The columns that a user names for the fields of a question: `question=prompt,answers=gold`."""

from collections.abc import Mapping
from types import MappingProxyType

from autocoa_bench.errors import UserError
from autocoa_bench.util import field_names
from autocoa_bench.util.field_names import Row, normal

FieldMap = Mapping[str, str]
"""Columns by the field that each holds."""

NO_FIELDS: FieldMap = MappingProxyType({})

_REPLACED = {
    "question": field_names.QUESTIONS + field_names.PROMPTS,
    "answers": (*field_names.ANSWERS, "rewardmodel", "answerkey"),
    "id": field_names.QUESTION_IDS,
    "metadata": field_names.METADATA,
    "titles": (),
}
"""The columns, by the normal forms of their names, that are not read where another is named."""

SYNTAX = f"write FIELD=COLUMN,..., where a field is one of {', '.join(_REPLACED)}"


def parse_field_map(text: str) -> FieldMap:
    """The columns that a text such as `question=prompt,answers=gold` names. Raises UserError."""
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, _, column = (word.strip() for word in part.partition("="))
        if field not in _REPLACED or not column:
            raise UserError(f"--fields: '{part:.80}' does not name a column; {SYNTAX}")
        if field in columns:
            raise UserError(f"--fields names two columns for '{field}'; name one")
        columns[field] = column
    return columns


def with_named_fields(row: Row, columns: FieldMap) -> Row:
    """A row with the named columns under names that the reader knows, and without their rivals.

    Raises ValueError for a column that the row lacks.
    """
    if not columns:
        return row
    for field, column in columns.items():
        if column not in row:
            known = ", ".join(map(str, row))
            raise ValueError(f"there is no column '{column}' for --fields {field}, only {known}")
    replaced = {name for field in columns for name in _REPLACED[field]}
    named = {name: value for name, value in row.items() if normal(name) not in replaced}
    for field, column in columns.items():
        if field != "titles":
            named[_name(field, column, row[column])] = row[column]
    if "titles" in columns:
        metadata = named.get("metadata")
        titles = row[columns["titles"]]  # a list of titles, or facts as HotpotQA has them
        kept = {"type": metadata.get("type")} if isinstance(metadata, dict) else {}
        named["metadata"] = kept | {"supporting_titles": titles, "supporting_facts": titles}
    return named


def _name(field: str, column: str, value: object) -> str:
    """The name under which the reader knows a column, by the column's own name and its value."""
    if field == "question" and not isinstance(value, str):
        return "prompt"  # messages
    if field == "answers" and not normal(column).endswith("s"):
        return "answer"  # a semicolon separates answers under a plural name alone
    return field
