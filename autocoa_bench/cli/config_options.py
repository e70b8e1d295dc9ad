"""Options of commands, made from the records that they fill."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec
import typer
from msgspec import Struct

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

    Nested records give their options too. `only` and `without` select options by name, `defaults`
    are those in which the command departs from the record, and `prefix` goes before every flag
    that the record does not spell out. The command is called with the record that its options
    fill.
    """
    options = [
        option
        for option in _field_options(record, prefix)
        if (not only or option.name in only) and option.name not in without
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

        @functools.wraps(command)
        def call(**values: Any) -> None:
            filled = _fill(
                record, options, {option.name: values.pop(option.name) for option in options}
            )
            command(**values, **{target: filled})

        # Typer reads both, and would find the parameters of the wrapped command otherwise.
        vars(call)["__signature__"] = signature.replace(parameters=parameters)
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
    """The option that fills the field at `path`, which leads through nested records."""

    path: tuple[str, ...]
    name: str
    prefix: str
    declared: Option
    type: Any
    default: Any

    @property
    def flags(self) -> tuple[str, ...]:
        return self.declared.flags or ("--" + self.name.replace("_", "-"),)

    def parameter(self) -> inspect.Parameter:
        """The parameter that typer makes the option of."""
        kind, default = self._typed_default()
        least, most = self.declared.min, self.declared.max
        limits = {} if self.declared.commas else {"min": least, "max": most}
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is msgspec.NODEFAULT else default,
            annotation=Annotated[
                kind, typer.Option(*self.flags, help=self.declared.help, **limits)
            ],
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

    def field_value(self, value: Any) -> Any:
        """The value of the field for that of the parameter. Raises UserError."""
        if self.declared.repeat:
            return ",".join(value)
        if get_origin(self.type) is not tuple:
            return value
        if not self.declared.commas:
            return tuple(value)
        items = [item.strip() for item in value.split(",") if item.strip()]
        if get_args(self.type)[0] is not int:
            return tuple(items)
        least, most = self.declared.min or 0, self.declared.max or float("inf")
        if not items or not all(item.isdecimal() and least <= int(item) <= most for item in items):
            raise UserError(
                f"{self.flags[0]} takes numbers from {least} to {most}, separated by commas, "
                f"not '{value}'"
            )
        return tuple(map(int, items))


def _field_options(
    record: type[Struct], prefix: str, path: tuple[str, ...] = ()
) -> Iterator[_FieldOption]:
    for field in msgspec.structs.fields(record):
        place = (*path, field.name)
        if isinstance(field.default, Struct):
            yield from _field_options(type(field.default), prefix, place)
        kind, *metadata = get_args(field.type) if get_origin(field.type) is Annotated else (None,)
        for option in metadata:
            if isinstance(option, Option):
                flag = option.flags[0] if option.flags else f"--{prefix}{field.name}"
                name = flag.removeprefix("--").replace("-", "_")
                yield _FieldOption(place, name, prefix, option, kind, field.default)


def _fill(record: type[Struct], options: Iterable[_FieldOption], values: Mapping[str, Any]) -> Any:
    """The record with these values of its options. Raises UserError."""
    fields: dict[str, Any] = {}
    for option in options:
        value = values[option.name]
        if option.declared.needs:
            needed = (option.prefix + option.declared.needs).replace("-", "_")
            if value and not values[needed]:
                raise UserError(
                    f"{option.flags[0]} '{value}' has no effect: give "
                    f"--{needed.replace('_', '-')} too"
                )
        # The record has its own value for an option that is not given.
        if value is not None:
            *outer, name = option.path
            inner = functools.reduce(lambda at, key: at.setdefault(key, {}), outer, fields)
            inner[name] = option.field_value(value)
    defaults = {field.name: field.default for field in msgspec.structs.fields(record)}
    return record(
        **{
            name: msgspec.structs.replace(defaults[name], **value)
            if isinstance(value, dict)
            else value
            for name, value in fields.items()
        }
    )
