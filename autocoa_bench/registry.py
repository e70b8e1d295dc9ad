"""Plug-ins by entry point: our own solvers, tasks and engines use the same way as a third party's.

A package adds a plug-in by declaring an entry point in the group `autocoa_bench.<kind>`. It is
imported when it is first asked for by name.
"""

import difflib
import inspect
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import msgspec

from autocoa_bench.errors import MissingExtra, UserError

Kind = Literal[
    "solvers", "tasks", "corpora", "engines", "executors", "search", "scorers", "judges", "commands"
]

Factory = Callable[..., Any]

_NOUNS = {"corpora": "corpus", "search": "search engine", "judges": "judge prompt"}


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted."""
    return sorted(_entries(kind))


def load(kind: Kind, name: str) -> Any:
    """Import the object registered under a name.

    Raises UserError, with the nearest registered name, for an unknown one, and where the plug-in
    cannot be imported for any reason.
    """
    entries = _entries(kind)
    if name not in entries:
        raise unknown(_noun(kind), name, sorted(entries))
    entry = entries[name]
    try:
        return entry.load()
    except MissingExtra:
        raise
    except Exception as error:
        package = entry.dist.name if entry.dist else "a package"
        raise UserError(
            f"the {_noun(kind)} '{name}' of {package} cannot be loaded "
            f"({type(error).__name__}: {error}); repair or uninstall {package}"
        ) from error


def make(kind: Kind, spec: str) -> tuple[str, Any]:
    """Make the plug-in that `name` or `name:option=value,...` names.

    Returns its canonical name, with the options sorted, and the plug-in. Raises UserError.
    """
    name, factory, options = configured(kind, spec)
    canonical = ",".join(f"{key}={value}" for key, value in sorted(options.items()))
    return f"{name}:{canonical}" if canonical else name, factory(**options)


def configured(
    kind: Kind, spec: str, reserved: Collection[str] = ()
) -> tuple[str, Factory, dict[str, Any]]:
    """The name, the factory and the options that `name` or `name:option=value,...` names.

    Options are converted to the annotated types of the factory's parameters. The parameters in
    `reserved` are the caller's, not options. A factory with `**parameters` takes any option.
    Raises UserError.
    """
    name, _, text = spec.partition(":")
    factory: Factory = load(kind, name)
    if not text:
        return name, factory, {}
    kind_name = _noun(kind)
    signature = inspect.signature(factory, eval_str=True).parameters
    parameters = {key: value for key, value in signature.items() if key not in reserved}
    variadic = [key for key, value in parameters.items() if value.kind is value.VAR_KEYWORD]
    fallback = parameters.pop(variadic[0]) if variadic else None
    options: dict[str, Any] = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{kind_name} '{spec}': options are written name=value, not '{pair}'")
        if key in options:
            raise UserError(f"{kind_name} '{spec}' is given the option '{key}' twice")
        parameter = parameters.get(key, fallback)
        if parameter is None or key in reserved:
            raise unknown(f"option of {kind_name} '{name}'", key, sorted(parameters))
        annotation = parameter.annotation
        try:
            options[key] = msgspec.convert(value, annotation, strict=False)
        except msgspec.ValidationError:
            accepted = getattr(annotation, "__name__", str(annotation))
            raise UserError(
                f"{kind_name} '{name}': option '{key}' takes {accepted}, not '{value}'"
            ) from None
    return name, factory, options


def unknown(kind: str, name: str, known_names: list[str]) -> UserError:
    """The error for an unknown name, with the nearest known one."""
    nearest = difflib.get_close_matches(name, known_names, n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    listed = ", ".join(known_names) or "none"
    return UserError(f"unknown {kind} '{name:.80}'{hint} (known: {listed})")


def _noun(kind: Kind) -> str:
    return _NOUNS.get(kind, kind.removesuffix("s"))


def _entries(kind: Kind) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"autocoa_bench.{kind}")}
