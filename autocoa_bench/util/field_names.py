"""The names of fields in published data files, each in its normal form, the likeliest first."""

import re
from typing import Any

Row = dict[str, Any]

IDS = (
    *("id", "pid", "passageid", "chunkid", "segmentid", "docid", "documentid", "docno", "did"),
    *("uid", "uuid", "key"),
)
"""Fields that identify a passage."""

PAGE_IDS = ("wikipediaid", "wikiid", "pageid", "url", "link")
"""Fields that identify the page of a passage, which its other passages may share."""

TITLES = (
    *("title", "wikipediatitle", "wikititle", "pagetitle", "articletitle", "documenttitle"),
    *("doctitle", "name", "heading", "headline", "标题"),
)

ADDRESSES = ("url", "link")
"""Fields with the address of a passage's page, which names it where no title does."""

TEXTS = (
    *("text", "content", "passage", "passagetext", "body", "document", "documenttext", "doc"),
    *("paragraph", "paragraphtext", "segment", "segmenttext", "chunk", "chunktext", "chunkcontent"),
    *("pagecontent", "sentences", "article", "abstract", "snippet", "context", "rawcontent", "raw"),
    *("paragraphs", "description", "summary", "wikitext", "plaintext", "fulltext"),
    *("正文", "内容", "文本"),
)
"""Fields with the text of a passage; `contents`, which may begin with a title, comes before."""

METADATA = ("metadata", "meta", "metadatas")

QUESTION_IDS = ("id", "qid", "questionid", "queryid", "exampleid", "uid", "uuid", "key")

QUESTIONS = (
    *("question", "query", "problem", "input", "questiontext", "querytext", "utterance"),
    *("userinput", "originalquestion", "rawquestion", "instruction", "q", "问题", "text"),
)

PROMPTS = ("prompt", "messages", "conversations")
"""Fields with a whole prompt, as a text or as messages."""

ANSWERS = (
    *("goldenanswers", "goldanswers", "possibleanswers", "acceptedanswers", "answers"),
    *("goldenanswer", "goldanswer", "correctanswer", "correctanswers", "referenceanswer"),
    *("expectedanswer", "finalanswer", "answer", "shortanswers", "shortanswer", "groundtruths"),
    *(
        "groundtruth",
        "answersspans",
        "nqanswer",
        "targets",
        "target",
        "targetvalue",
        "outputs",
        "output",
        "labels",
        "label",
    ),
    *("references", "reference", "gold", "golds", "答案", "a"),
)

ALIASES = ("answeraliases", "answeralias", "aliases", "alternativeanswers")
"""Fields with further names of an answer."""

ROW_LISTS = (
    *("data", "rows", "questions", "queries", "examples", "instances", "items", "records"),
    *("documents", "docs", "passages", "corpus", "articles", "results", "dataset", "entries"),
)
"""Fields of a JSON file's outer object that hold its rows."""

_OTHERS = (*PROMPTS, "contents", "rewardmodel", "datasource", "extrainfo", "type", "level", "index")
_ABOUT_PASSAGES = IDS + PAGE_IDS + TITLES + ADDRESSES + TEXTS + METADATA
_NAMES = _ABOUT_PASSAGES + QUESTION_IDS + QUESTIONS + ANSWERS + ALIASES + _OTHERS
KNOWN = frozenset(name for name in _NAMES if len(name) > 1)
"""All names that tell a header from a first row, without single letters, which may be answers."""

NO_ROWS = KNOWN | {"info", "config", "about", "license", "features", "statistics", "header"}
"""Objects in a JSON file's outer object that are no rows by id."""

_SEPARATORS = re.compile(r"[\W_]+")


def normal(name: str) -> str:
    """The normal form of a field's name: `_id` and `ID` are `id`, `Doc ID` is `docid`."""
    return _SEPARATORS.sub("", name.casefold())


def fields(row: Row) -> Row:
    """The fields of a row by the normal forms of their names, without those that are null.

    Where two names have one form, one with a value counts, and the plain one: `id` before `_id`.
    """
    by_form: Row = {}
    for name, value in row.items():
        form = normal(name)
        if value is not None and (by_form.get(form, "") == "" or (name == form and value != "")):
            by_form[form] = value
    return by_form
