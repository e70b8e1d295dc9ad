"""A full disk: the message names the folder, and nothing half-made stays."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import pytest

from autocoa_bench.cli import main
from autocoa_bench.engines.weights import convert as conversion
from autocoa_bench.engines.weights.convert import convert
from autocoa_bench.errors import UserError
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import corpus_file
from autocoa_bench.tasks import resolve, shared_corpus
from support.tiny import edit_json, numpy_lora

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
QUOTA = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
NUMPY = OSError("322549 requested and 123872 written")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no write by descriptor succeed."""

    def full(file: int, content: bytes) -> int:
        raise FULL

    monkeypatch.setattr(os, "write", full)


@pytest.mark.parametrize("problem", [FULL, QUOTA, NUMPY], ids=["full", "quota", "numpy"])
def test_an_index_that_finds_no_room_names_its_folder(tmp_path: Path, problem: OSError) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise problem

    with pytest.raises(UserError, match="cannot be written") as caught:
        open_or_build(tmp_path / "bm25-0", build, lambda folder: folder)
    assert str(tmp_path) in str(caught.value)
    assert re.search("No space left|quota exceeded|the disk is full", str(caught.value))
    assert "AUTOCOA_BENCH_CACHE" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["nq", "nq@nano"])
def test_a_generated_corpus_that_finds_no_room_names_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    corpus = shared_corpus(resolve(task), "test")
    assert corpus is not None
    fill(monkeypatch)
    with pytest.raises(UserError, match=r"cache folder '.*cache/.*' cannot be written .No space"):
        corpus_file(corpus)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_conversion_that_finds_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy_lora(tmp_path / "a", layers=1, rank=32, shapes={"self_attn.q_proj": (32, 64)})
    shape = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2}
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    edit_json(tmp_path / "base" / "config.json", **shape)

    def full(writer: object) -> None:
        raise FULL

    monkeypatch.setattr(conversion, "close_gguf", full)
    target = tmp_path / "new" / "adapter.gguf"
    with pytest.raises(UserError, match=r"the disk is full: cannot write to '.*adapter\.gguf'"):
        convert(str(tmp_path / "a"), str(target), str(tmp_path / "base"))
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_for_which_no_other_message_exists_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there/plot.png")

    # The package's function `main` has the name of its module.
    monkeypatch.setattr(sys.modules["autocoa_bench.cli.main"], "_add_plugins", full)
    monkeypatch.setattr(sys, "argv", ["autocoa-bench"])
    with pytest.raises(SystemExit):
        main()
    assert "'/there/plot.png' cannot be written: the disk is full" in capsys.readouterr().err
