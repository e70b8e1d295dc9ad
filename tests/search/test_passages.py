"""Passages of every published shape: from a corpus file and from a search server alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.search.corpus import read_passages
from autocoa_bench.search.passages import join_contents, read_passage
from autocoa_bench.search.remote.protocols import BadSearchReply, Protocol, has_shape, read_reply
from autocoa_bench.types import Passage

TEXT = "Evan Harlow was a lobbyist in Oslo."
OWLS = ("7", "Owls", "Owls hunt.")

ROWS: dict[str, tuple[Any, tuple[str, str, str]]] = {
    "FlashRAG": ({"id": "7", "contents": '"Owls"\nOwls hunt.'}, OWLS),
    "FlashRAG without quotes": ({"id": 7, "contents": "Owls\nOwls hunt."}, OWLS),
    "FlashRAG without a title line": ({"id": "0", "contents": TEXT}, ("0", "", TEXT)),
    "a quotation in one line": (
        {"id": "1", "contents": '"No," he said.'},
        ("1", "", '"No," he said.'),
    ),
    "an empty line after the title": ({"id": "7", "contents": "Owls\n\n Owls hunt.\n"}, OWLS),
    "a title alone": ({"id": "1", "contents": '"Owls"\n'}, ("1", "", '"Owls"')),
    "paragraphs without a title": (
        {"id": "1", "contents": "x" * 300 + "\nmore"},
        ("1", "", "x" * 300 + "\nmore"),
    ),
    "contents beside a title": (
        {"id": "7", "title": "Owls", "contents": "Owls hunt.\nThey sleep."},
        ("7", "Owls", "Owls hunt.\nThey sleep."),
    ),
    "contents with the title of the row": (
        {"id": "7", "title": "Owls", "contents": "Owls\nOwls hunt."},
        OWLS,
    ),
    "contents before a text": (
        {"id": "7", "title": "x", "text": "y", "contents": '"Owls"\nOwls hunt.'},
        OWLS,
    ),
    "null contents": ({"id": "7", "contents": None, "title": "Owls", "text": "Owls hunt."}, OWLS),
    "BEIR": ({"_id": "7", "title": "Owls", "text": "Owls hunt.", "metadata": {}}, OWLS),
    "BEIR without a text": ({"_id": "7", "title": "Owls", "text": ""}, ("7", "", "Owls")),
    "Tevatron": ({"docid": "7", "title": "Owls", "text": "Owls hunt."}, OWLS),
    "MS MARCO v2": ({"pid": "7", "docid": "d", "passage": TEXT, "spans": "(0,9)"}, ("7", "", TEXT)),
    "MS MARCO v2.1": (
        {"docid": "7", "url": "https://a.org/b", "title": "Owls", "headings": "h", "segment": TEXT},
        ("7", "Owls", TEXT),
    ),
    "Contriever": ({"passage_id": 7, "title": "Owls", "text": "Owls hunt.", "section": ""}, OWLS),
    "Atlas": ({"id": "7", "title": "Owls", "section": "", "text": "Owls hunt."}, OWLS),
    "ir_datasets": ({"doc_id": "7", "body": "Owls hunt.", "title": "Owls"}, OWLS),
    "MuSiQue": ({"id": 7.0, "title": "Owls", "paragraph_text": "Owls hunt."}, OWLS),
    "HotpotQA's pages": (
        {
            "id": "7",
            "url": "https://en.wikipedia.org/wiki?curid=7",
            "title": "Owls",
            "text": ["Owls hunt.", " They sleep."],
        },
        ("7", "Owls", "Owls hunt. They sleep."),
    ),
    "paragraphs of sentences": (
        {"id": "7", "title": "Owls", "text": [["Owls hunt.", "Well."], ["They sleep."]]},
        ("7", "Owls", "Owls hunt. Well.\nThey sleep."),
    ),
    "sentences": ({"id": "7", "title": "Owls", "sentences": ["Owls", "hunt."]}, OWLS),
    "KILT": (
        {
            "_id": "7",
            "wikipedia_id": "7",
            "wikipedia_title": "Owls",
            "text": ["Owls\n", "Owls hunt.\n"],
        },
        OWLS,
    ),
    "Wikipedia on the Hub": (
        {
            "id": "7",
            "url": "https://en.wikipedia.org/wiki/Owls",
            "title": "Owls",
            "text": "Owls hunt.",
        },
        OWLS,
    ),
    "an address for a title": (
        {"id": "7", "url": "https://en.wikipedia.org/wiki/Snowy_owl#Diet", "text": "Owls hunt."},
        ("7", "Snowy owl", "Owls hunt."),
    ),
    "a list of contents": ({"id": "7", "title": "Owls", "contents": ["Owls", "hunt."]}, OWLS),
    "paragraphs": ({"id": "7", "title": "Owls", "paragraphs": ["Owls", "hunt."]}, OWLS),
    "SQuAD's articles": (
        {
            "id": "7",
            "title": "Owls",
            "paragraphs": [{"context": "Owls hunt.", "qas": []}, {"context": "They sleep."}],
        },
        ("7", "Owls", "Owls hunt.\nThey sleep."),
    ),
    "a summary": ({"id": "7", "title": "Owls", "summary": "Owls hunt."}, OWLS),
    "Chinese names": ({"id": "7", "标题": "Owls", "内容": "Owls hunt."}, OWLS),
    "a bad address": ({"id": "7", "url": "http://[x", "text": TEXT}, ("7", "http://[x", TEXT)),
    "null title": ({"id": "7", "title": None, "text": TEXT}, ("7", "", TEXT)),
    "LangChain": (
        {"page_content": "Owls hunt.", "metadata": {"id": "7", "title": "Owls"}},
        OWLS,
    ),
    "Haystack": ({"id": "7", "content": "Owls hunt.", "meta": {"name": "Owls"}}, OWLS),
    "metadata as JSON": ({"id": "7", "text": "Owls hunt.", "metadata": '{"title": "Owls"}'}, OWLS),
    "other capitals": ({"Doc ID": "7", "Title": "Owls", "Text": "Owls hunt."}, OWLS),
    "MongoDB": ({"_id": {"$oid": "7"}, "name": "Owls", "content": "Owls hunt."}, OWLS),
    "Elasticsearch": (
        {
            "_index": "w",
            "_id": "7",
            "_score": 2.5,
            "_source": {"title": "Owls", "text": "Owls hunt."},
        },
        OWLS,
    ),
    "Qdrant": (
        {"id": 7, "version": 3, "score": 0.5, "payload": {"title": "Owls", "text": "Owls hunt."}},
        OWLS,
    ),
    "Pinecone": (
        {"id": "7", "score": 0.5, "metadata": {"title": "Owls", "text": "Owls hunt."}},
        OWLS,
    ),
    "Search-R1": ({"document": {"id": "7", "contents": '"Owls"\nOwls hunt.'}, "score": 0.5}, OWLS),
    "LlamaIndex": (
        {"node": {"id_": "7", "text": "Owls hunt.", "metadata": {"title": "Owls"}}, "score": 1.0},
        OWLS,
    ),
    "a search API": (
        {"title": "Owls", "link": "https://a.org/owls", "snippet": "Owls hunt."},
        ("https://a.org/owls", "Owls", "Owls hunt."),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_one_passage_in_a_corpus_and_from_a_server(tmp_path: Path, name: str) -> None:
    row, wanted = ROWS[name]
    (tmp_path / "c.jsonl").write_text(json.dumps(row) + "\n")
    [in_file] = read_passages(tmp_path / "c.jsonl")
    assert (in_file.id, in_file.title, in_file.text) == wanted
    for reply in ({"result": [[row]]}, {"results": [row]}, [[row], [in_file.score or 0.25]]):
        [served] = read_reply("search-r1", json.dumps(reply).encode(), 3)
        assert (served.id, served.title, served.text) == wanted


@pytest.mark.parametrize(
    "name", ["FlashRAG", "BEIR", "FlashRAG without a title line", "null title"]
)
def test_a_common_row_is_read_as_one_with_further_fields_is(name: str) -> None:
    row, _ = ROWS[name]
    assert read_passage(row) == read_passage(row | {"views": 3, "lang": "en"})


def test_a_missing_id_is_made_from_the_content_alike(tmp_path: Path) -> None:
    row = {"title": "Owls", "text": "Owls hunt."}
    (tmp_path / "c.jsonl").write_text(f"{json.dumps(row)}\n" * 2 + '{"contents": "Other."}\n')
    first, second, third = read_passages(tmp_path / "c.jsonl")
    [served] = read_reply("search-r1", json.dumps({"result": [[row]]}).encode(), 1)
    assert served.id == first.id
    assert second.id == f"{first.id}-2"
    assert len({first.id, second.id, third.id}) == 3


def test_passages_of_one_page_get_ids_of_their_own(tmp_path: Path) -> None:
    rows = [{"wikipedia_id": 12, "title": "Owls", "text": f"Part {part}."} for part in range(3)]
    (tmp_path / "c.json").write_text(json.dumps(rows))
    assert [passage.id for passage in read_passages(tmp_path / "c.json")] == ["12", "12-2", "12-3"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "1"}, "this one has id"),
        ({"id": "1", "contents": 5}, "this one has id, contents"),
        ({"id": "1", "title": "Owls"}, "this one has id, title"),
        ({"id": "1", "text": {"a": 1}}, "this one has id, text"),
        ({"id": "1", "text": " ", "title": ""}, "the passage '1' has no text; remove the row"),
        ({"id": "1", "text": []}, "the passage '1' has no text; remove the row"),
        ({}, "this one has no fields"),
        (["x"], "expected an object, found list"),
    ],
)
def test_a_row_without_a_passage_is_named_with_the_accepted_shapes(
    tmp_path: Path, row: object, message: str
) -> None:
    (tmp_path / "c.jsonl").write_text(f'{{"text": "x"}}\n{json.dumps(row)}\n')
    with pytest.raises(UserError, match=rf"c\.jsonl:2: .*{message}") as caught:
        list(read_passages(tmp_path / "c.jsonl"))
    lines = str(caught.value).splitlines()
    assert len(lines) <= 3
    assert "a passage is" in lines[1]


@pytest.mark.parametrize("text", ["Owls hunt.", 'The "owl"', "Two\nlines", "x" * 300 + "\ny"])
@pytest.mark.parametrize("title", ["", "Owls", '"Owls"', "A\nB"])
def test_contents_that_are_written_are_read_back(title: str, text: str) -> None:
    passage, _ = read_passage({"id": "1", "contents": join_contents(Passage("1", title, text))})
    assert passage == Passage("1", title.replace("\n", " "), text)


# Tables


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("psgs_w100.tsv", 'id\ttext\ttitle\n7\t"Owls ""hunt""."\tOwls\n8\t"They sleep."\tOwls\n'),
        ("psgs.tsv", '7\tOwls "hunt".\tOwls\n8\tThey sleep.\tOwls\n'),
        (
            "c.json",
            '{"7": {"title": "Owls", "text": "Owls \\"hunt\\"."}, '
            '"8": {"title": "Owls", "text": "They sleep."}}',
        ),
        (
            "docs.tsv",
            '7\thttp://a.org\tOwls\tOwls "hunt".\n8\thttp://a.org\tOwls\tThey sleep.\n',
        ),
        (
            "c.json",
            '{"info": {"year": 2018}, "corpus": ['
            '{"id": "7", "title": "Owls", "text": "Owls \\"hunt\\"."}, '
            '{"id": "8", "title": "Owls", "text": "They sleep."}]}',
        ),
        ("c.csv", 'id,title,text\n7,Owls,"Owls ""hunt""."\n\n8,Owls,They sleep.\n'),
        ("c.csv", '\ufeffID;Title;Text\r\n7;Owls;"Owls ""hunt""."\r\n8;Owls;They sleep.\r\n'),
    ],
)
def test_a_table_is_a_corpus(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert list(read_passages(tmp_path / name)) == [
        Passage("7", "Owls", 'Owls "hunt".'),
        Passage("8", "Owls", "They sleep."),
    ]


def test_texts_by_id_are_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a": "Owls hunt.", "b": "They sleep."}')
    assert list(read_passages(tmp_path / "c.json")) == [
        Passage("a", "", "Owls hunt."),
        Passage("b", "", "They sleep."),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", '["Owls hunt.", "They sleep."]'),
        ("c.jsonl", '"Owls hunt."\n"They sleep."\n'),
    ],
)
def test_a_list_of_texts_is_a_corpus(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    texts = [passage.text for passage in read_passages(tmp_path / name)]
    assert texts == ["Owls hunt.", "They sleep."]


def test_a_list_that_is_nested_deeply_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"text": ' + "[" * 900 + '"x"' + "]" * 900 + "}\n")
    with pytest.raises(UserError, match="has no text"):
        list(read_passages(tmp_path / "c.jsonl"))


@pytest.mark.parametrize(
    "texts",
    [
        ['"Owls" hunt at night.', '"An unclosed mark', "Plain.", 'A "b" c'],
        ["Plain.", '"An unclosed mark'],
    ],
)
def test_quotation_marks_in_ms_marcos_passages_are_text(tmp_path: Path, texts: list[str]) -> None:
    lines = [f"{number}\t{text}" for number, text in enumerate(texts)]
    (tmp_path / "collection.tsv").write_text("\n".join(lines))
    assert [passage.text for passage in read_passages(tmp_path / "collection.tsv")] == texts


# Replies of search servers


DOCUMENT = {"id": "7", "contents": '"Owls"\nOwls hunt.'}
ES_HIT = {"_id": "7", "_score": 0.5, "_source": {"title": "Owls", "text": "Owls hunt."}}
SCORED = {**DOCUMENT, "score": 0.5}

REPLIES: dict[str, tuple[Any, float | None]] = {
    "documents in a result": ({"result": [[DOCUMENT, DOCUMENT]]}, None),
    "documents and scores in a result": (
        {"result": [[{"document": DOCUMENT, "score": 0.5}] * 2]},
        0.5,
    ),
    "one result without its list": ({"result": [DOCUMENT, DOCUMENT]}, None),
    "documents and scores": ({"documents": [DOCUMENT] * 2, "scores": [0.5, 0.5]}, 0.5),
    "documents and scores by query": ({"documents": [[DOCUMENT] * 2], "scores": [[0.5, 0.5]]}, 0.5),
    "a list of one object": ([{"documents": [DOCUMENT] * 2, "scores": [0.5, 0.5]}], 0.5),
    "two lists": ([[DOCUMENT] * 2, [0.5, 0.5]], 0.5),
    "a plain list": ([DOCUMENT] * 2, None),
    "a nested list": ([[DOCUMENT] * 2], None),
    "pairs": ([[DOCUMENT, 0.5], [DOCUMENT, 0.5]], 0.5),
    "pairs in results": ({"results": [[DOCUMENT, 0.5], [DOCUMENT, 0.5]]}, 0.5),
    "results": ({"query": "x", "results": [SCORED] * 2}, 0.5),
    "Elasticsearch": ({"took": 3, "hits": {"total": {"value": 2}, "hits": [ES_HIT] * 2}}, 0.5),
    "Qdrant": ({"result": [{"id": 7, "score": 0.5, "payload": DOCUMENT}] * 2, "status": "ok"}, 0.5),
    "Qdrant's points": (
        {"result": {"points": [{"id": "7", "score": 0.5, "payload": DOCUMENT}] * 2}},
        0.5,
    ),
    "Solr": ({"responseHeader": {}, "response": {"numFound": 2, "docs": [SCORED] * 2}}, 0.5),
    "Vespa": ({"root": {"children": [{"fields": DOCUMENT, "relevance": 0.5}] * 2}}, 0.5),
    "Weaviate": ({"data": {"Get": {"Wiki": [DOCUMENT] * 2}}}, None),
    "ColBERT": (
        {
            "query": "x",
            "topk": [{"pid": 7, "text": "Owls hunt.", "title": "Owls", "score": 0.5}] * 2,
        },
        0.5,
    ),
    "by query": ({"what do owls do": [DOCUMENT] * 2}, None),
}


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("protocol", ["search-r1", "autocoa", "flashrag"])
def test_the_documents_of_a_reply_are_read_wherever_it_nests_them(
    name: str, protocol: Protocol
) -> None:
    reply, score = REPLIES[name]
    passages = read_reply(protocol, json.dumps(reply).encode(), 3)
    assert passages == (Passage(*OWLS, score=score),) * 2


@pytest.mark.parametrize(
    "reply",
    [
        {"passages": ["Owls hunt.", '"Owls"\nThey sleep.']},
        {"queries": ["x"], "answers": [["Owls hunt.", '"Owls"\nThey sleep.']]},
        {"contexts": ["Owls hunt.", '"Owls"\nThey sleep.']},
        [["Owls hunt.", '"Owls"\nThey sleep.']],
    ],
)
def test_documents_that_are_texts_are_read(reply: object) -> None:
    passages = read_reply("search-r1", json.dumps(reply).encode(), 3)
    assert [(passage.title, passage.text) for passage in passages] == [
        ("", "Owls hunt."),
        ("Owls", "They sleep."),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        {"error": "no index"},
        {"errors": ["no index"]},
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
        {"message": "loading"},
        {"result": [[DOCUMENT], [DOCUMENT]]},
        {"documents": [DOCUMENT], "scores": [0.5, 0.25]},
        {"result": [[5]]},
        {"result": [[{"id": "1"}]]},
        {"results": []},
        [],
        5,
        None,
        "text",
        {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": [DOCUMENT]}}}}}}}}}},
    ],
)
def test_a_reply_without_documents_is_refused(reply: object) -> None:
    with pytest.raises(BadSearchReply):
        read_reply("search-r1", json.dumps(reply).encode(), 3)


@pytest.mark.parametrize(
    ("protocol", "reply"),
    [
        ("search-r1", {"result": [[]]}),
        ("autocoa", {"documents": [], "scores": []}),
        ("flashrag", [[], []]),
    ],
)
def test_a_search_may_find_nothing(protocol: Protocol, reply: object) -> None:
    data = json.dumps(reply).encode()
    assert read_reply(protocol, data, 3) == ()
    assert has_shape(protocol, data)


@pytest.mark.parametrize("score", [None, "0.5", True, [0.5], {"value": 1}])
def test_a_score_that_is_no_number_is_left_out(score: object) -> None:
    reply = {"result": [[{"document": DOCUMENT, "score": score}]]}
    [passage] = read_reply("search-r1", json.dumps(reply).encode(), 3)
    assert passage.score is None


def test_a_score_of_zero_is_a_score() -> None:
    reply = {"result": [[{"document": DOCUMENT, "score": 0}]]}
    [passage] = read_reply("search-r1", json.dumps(reply).encode(), 3)
    assert passage.score == 0.0
