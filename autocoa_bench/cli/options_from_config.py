"""Options of commands, made from the records that they fill."""

import functools
import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from keyword import iskeyword
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields, replace

from autocoa_bench.errors import UserError
from autocoa_bench.types import Option

Command = Callable[..., None]


def options_from(
    record: type[Struct],
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
    defaults: Mapping[str, Any] = {},
    prefix: str = "",
    environment: bool = False,
) -> Callable[[Command], Command]:
    """Decorator that replaces a command's parameter of this class by the options of its fields.

    The fields of nested records are included. `only` and `without` select options by name, or by
    the field of a nested record. `defaults` replace the record's own, and `prefix` goes before
    every flag that the record does not spell out. With `environment`, an option that is not given
    comes from its variable (`variable_of`). The command is called with the record that its options
    fill.
    """
    options = [
        option._replace(default=defaults.get(option.name, option.default))
        for option in _field_options(record, prefix)
        if (not only or option.name in only) and not {option.name, option.outer} & {*without}
    ]
    unknown = {*only, *defaults} - {option.name for option in options}
    if unknown:
        raise TypeError(f"{record.__name__} has no option {', '.join(sorted(unknown))}")

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.annotation is record:
                target = parameter.name
                parameters += (option.parameter(environment) for option in options)
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        signature = signature.replace(parameters=parameters)

        @functools.wraps(command)
        def call(**arguments: Any) -> None:
            bound = signature.bind(**arguments)
            bound.apply_defaults()
            values = {option.name: bound.arguments.pop(option.name) for option in options}
            command(**bound.arguments, **{target: _fill(record, options, values)})

        # Typer reads both, and would find the parameters of the wrapped command otherwise.
        vars(call)["__signature__"] = signature
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def flags_given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """The flags of the named options that were given, on the command line or by --config."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return [
        "--" + name.replace("_", "-")
        for name, source in sources.items()
        if source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
    ]


def variable_of(name: str) -> str:
    """The environment variable of an option: `AUTOCOA_BENCH_TOP_K` of `top_k`."""
    return f"AUTOCOA_BENCH_{name.upper()}"


class _FieldOption(NamedTuple):
    """The option that fills a field of the record, or of the record nested in its field `outer`.

    `name` is that of the command's parameter, `needed` the flag of the option that it needs, and
    `type` is the field's.
    """

    outer: str
    field: str
    name: str
    flag: str
    declared: Option
    needed: str
    type: Any
    default: Any

    def parameter(self, environment: bool) -> inspect.Parameter:
        """The parameter that typer makes the option of."""
        declared, kind, default = self.declared, self.type, self.default
        # A list in one text has no range; `field_value` checks its numbers.
        least, most = (None, None) if declared.commas else (declared.min, declared.max)
        if declared.commas:
            kind, default = str, ",".join(map(str, default))
        elif declared.repeat:
            kind, default = list[str], default.split(",") if default else []
        elif get_origin(kind) is tuple:
            kind, default = list[get_args(kind)[0]], list(default)  # type: ignore[misc]
        elif least is not None and isinstance(default, int | float) and default < least:
            kind, default = kind | None, None
        # Typer adds --no-NAME to the flag of a bool unless the flag is spelt out.
        flags = declared.flags or (() if kind is bool else (self.flag,))
        option = typer.Option(
            *flags,
            help=declared.help,
            metavar=declared.metavar,
            min=least,
            max=most,
            envvar=variable_of(self.name) if environment else None,
            show_envvar=False,
        )
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is NODEFAULT else default,
            annotation=Annotated[kind, option],
        )

    def field_value(self, values: Mapping[str, Any]) -> Any:
        """The field's value, from the values of all parameters. Raises UserError."""
        value = values[self.name]
        if self.declared.repeat:
            return ",".join(value)
        if get_origin(self.type) is not tuple:
            return value
        if not self.declared.commas:
            return tuple(value)
        items = [item.strip() for item in value.split(",") if item.strip()]
        if get_args(self.type)[0] is not int:
            return tuple(items)
        least, most = self.declared.min or 0, self.declared.max or math.inf
        if not items or not all(item.isdecimal() and least <= int(item) <= most for item in items):
            raise UserError(
                f"{self.flag} takes numbers from {least} to {most}, separated by commas, "
                f"not '{value}'"
            )
        return tuple(map(int, items))


def _field_options(record: type[Struct], prefix: str) -> Iterator[_FieldOption]:
    """The options of a record's fields, and of the fields of the records nested in it."""
    nested = [("", field, field.default) for field in fields(record)]
    for _, outer, default in list(nested):
        if isinstance(default, Struct):
            for field in fields(default):
                nested.append((outer.name, field, getattr(default, field.name)))
    for name, field, default in nested:
        kind, *annotations = get_args(field.type) or (field.type,)
        for declared in annotations:
            if isinstance(declared, Option):
                flag = (*declared.flags, f"--{prefix}{field.name}".replace("_", "-"))[0]
                parameter = flag.removeprefix("--").replace("-", "_")
                if iskeyword(parameter):  # --as
                    parameter += "_"
                needed = f"--{prefix}{declared.needs}".replace("_", "-")
                yield _FieldOption(
                    name, field.name, parameter, flag, declared, needed, kind, default
                )


def _fill(
    record: type[Struct], options: Collection[_FieldOption], values: Mapping[str, Any]
) -> Struct:
    """The record with these values of its options. Raises UserError."""
    by_outer: dict[str, dict[str, Any]] = defaultdict(dict)
    for option in options:
        # A value that is None was not given, and is left to the record.
        if values[option.name] is not None:
            by_outer[option.outer][option.field] = option.field_value(values)
    own = by_outer.pop("", {})
    defaults = {field.name: field.default for field in fields(record)}
    nested = {name: replace(defaults[name], **inner) for name, inner in by_outer.items()}
    filled = record(**own, **nested)
    for option in options:
        # The field that an option needs may also follow from the environment.
        if (needs := option.declared.needs) and values[option.name] and not getattr(filled, needs):
            value = values[option.name]
            raise UserError(f"{option.flag} '{value}' has no effect: give {option.needed} too")
    return filled
