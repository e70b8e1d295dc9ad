"""Plug-ins by entry point: one door for our own solvers, tasks, engines and a third party's.

A package adds one by declaring an entry point in the group `autocoa_bench.<kind>`; nothing here
imports it before it is asked for by name.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import msgspec

from autocoa_bench.errors import MissingExtra, UserError

Kind = Literal[
    "solvers",
    "tasks",
    "corpora",
    "engines",
    "executors",
    "search",
    "scorers",
    "judges",
    "commands",
]

Factory = Callable[..., Any]

_SINGULAR: dict[Kind, str] = {
    "solvers": "solver",
    "tasks": "task",
    "corpora": "corpus",
    "engines": "engine",
    "executors": "executor",
    "search": "search engine",
    "scorers": "scorer",
    "judges": "judge prompt",
    "commands": "command",
}


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted."""
    return sorted(_entries(kind))


def load(kind: Kind, name: str) -> Any:
    """The object registered under a name.

    Raises UserError with the nearest known name, or where a plug-in cannot be imported, whatever
    its module raises.
    """
    entries = _entries(kind)
    if name not in entries:
        raise unknown(_SINGULAR[kind], name, sorted(entries))
    entry = entries[name]
    try:
        return entry.load()
    except MissingExtra:
        raise
    except Exception as error:
        package = entry.dist.name if entry.dist else "a package"
        raise UserError(
            f"the {_SINGULAR[kind]} '{name}' of {package} cannot be loaded "
            f"({type(error).__name__}: {error}); mend or uninstall {package}"
        ) from error


def configured(
    kind: Kind, spec: str, reserved: Collection[str] = ()
) -> tuple[str, Factory, dict[str, Any]]:
    """The name, the factory and its options that `name` or `name:option=value,...` names.

    Options are converted to the types that the factory's parameters declare; those in `reserved`
    are not a person's to give. A factory with `**parameters` takes any. Raises UserError.
    """
    name, _, text = spec.partition(":")
    factory: Factory = load(kind, name)
    if not text:
        return name, factory, {}
    what = _SINGULAR[kind]
    signature = inspect.signature(factory, eval_str=True).parameters
    parameters = {key: each for key, each in signature.items() if key not in reserved}
    rest = next((key for key, each in parameters.items() if each.kind is each.VAR_KEYWORD), None)
    any_other = parameters.pop(rest) if rest else None
    options: dict[str, Any] = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{what} '{spec}': options are written name=value, not '{pair}'")
        if key in options:
            raise UserError(f"{what} '{spec}' is given the option '{key}' twice")
        parameter = parameters.get(key, any_other)
        if parameter is None or key in reserved:
            raise unknown(f"option of {what} '{name}'", key, sorted(parameters))
        kind_of_value = parameter.annotation
        try:
            options[key] = msgspec.convert(value, kind_of_value, strict=False)
        except msgspec.ValidationError:
            wanted = getattr(kind_of_value, "__name__", str(kind_of_value))
            raise UserError(
                f"{what} '{name}': option '{key}' takes {wanted}, not '{value}'"
            ) from None
    return name, factory, options


def unknown(what: str, given: str, known: list[str]) -> UserError:
    """The error for a name that is not known, with the nearest that is."""
    near = difflib.get_close_matches(given, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {what} '{given:.80}'{hint} (known: {', '.join(known) or 'none'})")


def _entries(kind: Kind) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"autocoa_bench.{kind}")}
