"""Options of commands, made from the records that they fill."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from keyword import iskeyword
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields, replace

from autocoa_bench.errors import UserError
from autocoa_bench.option import Option

Command = Callable[..., None]


def options_from(
    record: type[Struct],
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
    defaults: Mapping[str, Any] = {},
    prefix: str = "",
) -> Callable[[Command], Command]:
    """Decorator that replaces a command's parameter of this class by the options of its fields.

    The fields of nested records are included. `only` and `without` select options by name, or by
    the field of a nested record. `defaults` replace the record's own, and `prefix` goes before
    every flag that the record does not spell out. The command is called with the record that its
    options fill.
    """
    options = [
        option
        for option in _field_options(record, prefix)
        if (not only or option.name in only) and not {option.name, option.outer} & {*without}
    ]
    unknown = {*only, *defaults} - {option.name for option in options}
    if unknown:
        raise TypeError(f"{record.__name__} has no option {', '.join(sorted(unknown))}")
    options = [
        option._replace(default=defaults.get(option.name, option.default)) for option in options
    ]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = signature.parameters.values()
        (target,) = (parameter.name for parameter in own if parameter.annotation is record)
        parameters: list[inspect.Parameter] = []
        for parameter in own:
            if parameter.name == target:
                parameters += (option.parameter() for option in options)
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        generated = signature.replace(parameters=parameters)

        @functools.wraps(command)
        def call(**arguments: Any) -> None:
            bound = generated.bind(**arguments)
            bound.apply_defaults()
            values = bound.arguments
            config = _fill(
                record, options, {option.name: values.pop(option.name) for option in options}
            )
            command(**values, **{target: config})

        # Typer reads both, and would find the parameters of the wrapped command otherwise.
        vars(call)["__signature__"] = generated
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def flags_given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """The flags of the named options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return [
        "--" + name.replace("_", "-")
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    ]


class _FieldOption(NamedTuple):
    """The option that fills a field of the record, or of the record nested in its field `outer`."""

    outer: str
    field: str
    declared: Option
    prefix: str
    type: Any
    default: Any

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags, the first of which names the option."""
        return self.declared.flags or (self._flag(self.field),)

    @property
    def name(self) -> str:
        """The name of the option's parameter; `as_` for --as, which is no name in Python."""
        name = self.flags[0].removeprefix("--").replace("-", "_")
        return f"{name}_" if iskeyword(name) else name

    def _flag(self, field: str) -> str:
        return f"--{self.prefix}{field}".replace("_", "-")

    def parameter(self) -> inspect.Parameter:
        """The parameter that typer makes the option of."""
        kind, default = self._typed_default()
        # Typer adds --no-NAME to the flag of a bool unless the flag is spelt out.
        flags = self.declared.flags if kind is bool else self.flags
        # A list in one text has no range; `field_value` checks its numbers.
        least, most = (
            (None, None) if self.declared.commas else (self.declared.min, self.declared.max)
        )
        option = typer.Option(
            *flags,
            help=self.declared.help,
            metavar=self.declared.metavar,
            min=least,
            max=most,
        )
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is NODEFAULT else default,
            annotation=Annotated[kind, option],
        )

    def _typed_default(self) -> tuple[Any, Any]:
        """The type and the default of the parameter."""
        if self.declared.commas:
            return str, ",".join(map(str, self.default))
        if self.declared.repeat:
            return list[str], self.default.split(",") if self.default else []
        if get_origin(self.type) is tuple:
            return list[get_args(self.type)[0]], list(self.default)  # type: ignore[misc]
        least = self.declared.min
        if isinstance(self.default, int | float) and least is not None and self.default < least:
            return self.type | None, None
        return self.type, self.default

    def field_value(self, value: Any, values: Mapping[str, Any]) -> Any:
        """The field's value, from that of the parameter and of all others. Raises UserError."""
        if value and self.declared.needs:
            needed = self._flag(self.declared.needs)
            if not values[needed.removeprefix("--").replace("-", "_")]:
                raise UserError(f"{self.flags[0]} '{value}' has no effect: give {needed} too")
        if self.declared.repeat:
            return ",".join(value)
        if get_origin(self.type) is not tuple:
            return value
        return self._split(value) if self.declared.commas else tuple(value)

    def _split(self, text: str) -> tuple[Any, ...]:
        items = [item.strip() for item in text.split(",") if item.strip()]
        if get_args(self.type)[0] is not int:
            return tuple(items)
        least, most = self.declared.min or 0, self.declared.max or math.inf
        if not items or not all(item.isdecimal() and least <= int(item) <= most for item in items):
            raise UserError(
                f"{self.flags[0]} takes numbers from {least} to {most}, separated by commas, "
                f"not '{text}'"
            )
        return tuple(map(int, items))


def _field_options(record: type[Struct], prefix: str) -> Iterator[_FieldOption]:
    """The options of a record's fields, and of the fields of the records nested in it."""
    for field in fields(record):
        if isinstance(field.default, Struct):
            for nested in fields(field.default):
                default = getattr(field.default, nested.name)
                yield from _declared(field.name, nested, prefix, default)
        else:
            yield from _declared("", field, prefix, field.default)


def _declared(outer: str, field: FieldInfo, prefix: str, default: Any) -> Iterator[_FieldOption]:
    if get_origin(field.type) is Annotated:
        kind, *metadata = get_args(field.type)
        for option in metadata:
            if isinstance(option, Option):
                yield _FieldOption(outer, field.name, option, prefix, kind, default)


def _fill(record: type[Struct], options: Iterable[_FieldOption], values: Mapping[str, Any]) -> Any:
    """The record with these values of its options. Raises UserError."""
    by_outer: dict[str, dict[str, Any]] = {"": {}}
    for option in options:
        # A value that is None was not given, and is left to the record.
        if (value := values[option.name]) is not None:
            own = by_outer.setdefault(option.outer, {})
            own[option.field] = option.field_value(value, values)
    own = by_outer.pop("")
    defaults = {field.name: field.default for field in fields(record)}
    nested = {name: replace(defaults[name], **inner) for name, inner in by_outer.items()}
    return record(**own, **nested)
