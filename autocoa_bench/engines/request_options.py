"""The options of requests that not every engine honours.

`Sampling` holds what every engine takes. An engine declares which of these it takes
(`EngineCapabilities.request_options`), and `open_engine` refuses the others.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.types import Option
from autocoa_bench.util.secrets import is_secret_name

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

TEMPLATE_VARIABLES = "chat_template_kwargs"
"""The field of a request's body with variables of the chat template."""

_THINKING = ("enable_thinking", "thinking")
"""The variables by which chat templates switch thinking: Qwen3's and GLM's, DeepSeek's."""
_EFFORT = "reasoning_effort"

_FLAGS = {
    **{name: f"--{name.replace('_', '-')}" for name in ("model", "temperature", "top_p", "seed")},
    **dict.fromkeys(("repetition_penalty", "repeat_penalty"), "--repetition-penalty"),
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "--step-tokens"),
    **{"top_k": "--sampling-top-k", "min_p": "--min-p", "presence_penalty": "--presence-penalty"},
}
"""The fields of a body that have an option of their own."""
_OWN = frozenset(
    (
        *("messages", "prompt", "stop", "n", "stream", "stream_options", "add_generation_prompt"),
        *("continue_final_message", "skip_special_tokens", "return_token_ids", "return_tokens"),
        *("spaces_between_special_tokens", "add_special_tokens", "response_fields"),
        *("preserved_tokens", "repeat_last_n"),
    )
)
"""The fields of a body that this project sets itself."""


class RequestOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the requests of a run ask of the model beyond `Sampling`; None or empty asks nothing.

    `body` is the text of a JSON object. The values in the file `headers` are secret. Raises
    UserError for a body that is no object, or that sets what has an option of its own.
    """

    thinking: Annotated[
        Literal["on", "off"] | None, Option(help="Let a reasoning model think, or not.")
    ] = None
    reasoning_effort: Annotated[
        Effort | None, Option(help="How much a reasoning model thinks, where it has such levels.")
    ] = None
    sampling_top_k: Annotated[
        int | None, Option(help="Sample from this many of the likeliest tokens.", min=1)
    ] = None
    min_p: Annotated[
        float | None,
        Option(
            help="Sample from tokens at least this likely, relative to the likeliest.",
            min=0.0,
            max=1.0,
        ),
    ] = None
    presence_penalty: Annotated[
        float | None,
        Option(help="Taken from the logits of tokens that the text has.", min=-2.0, max=2.0),
    ] = None
    body: Annotated[
        str, Option(help="Further fields of every request, as a JSON object.", metavar="JSON")
    ] = ""
    headers: Annotated[
        str,
        Option(
            help="A file of further headers, 'Name: value' in each line, readable by nobody else.",
            needs="base_url",
            metavar="FILE",
        ),
    ] = ""

    def __post_init__(self) -> None:
        if self.body:
            fields = _checked_fields(self.body)
            # Runs are compared by this text, so the order of the fields must not show.
            force_setattr(self, "body", msgspec.json.encode(fields, order="sorted").decode())

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the options that ask something."""
        return tuple(
            name for name in self.__struct_fields__ if getattr(self, name) not in (None, "")
        )

    def fields(self) -> dict[str, Any]:
        """The further fields of `body`."""
        fields: dict[str, Any] = msgspec.json.decode(self.body) if self.body else {}
        return fields

    def variables(self) -> dict[str, Any]:
        """The variables that the chat template is rendered with. Raises UserError.

        They come from `body`, `thinking` and `reasoning_effort`.
        """
        added: dict[str, Any] = {}
        if self.thinking is not None:
            added = dict.fromkeys(_THINKING, self.thinking == "on")
        if self.reasoning_effort is not None:
            added[_EFFORT] = self.reasoning_effort
        return merged(self.fields().get(TEMPLATE_VARIABLES, {}), added)

    def settings(self) -> dict[str, str | int | float]:
        """The options as an engine records them; the headers' file is not one of them."""
        return {name: getattr(self, name) for name in self.given if name != "headers"}


NO_OPTIONS = RequestOptions()

ALL = RequestOptions.__struct_fields__
"""The names of the options, and of the settings that record them; `headers` is recorded as the
names of the headers."""

WITHOUT_HEADERS = tuple(name for name in ALL if name != "headers")
"""The options of an engine whose server is its own."""


def other_variables(
    options: RequestOptions, variables: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each option that set one of the variables of a chat template: its flag, and variables in
    which another value of it differs.

    A template that renders the same with both does not honour the option.
    """
    if options.thinking:
        yield "--thinking", {**variables, **{name: not variables[name] for name in _THINKING}}
    if options.reasoning_effort and _EFFORT in variables:
        other = "low" if variables[_EFFORT] == "high" else "high"
        yield "--reasoning-effort", {**variables, _EFFORT: other}


def no_switch(flag: str, model: str) -> UserError:
    """The error for a chat template that does not honour an option."""
    return UserError(
        f"{flag} has no effect on '{model}', whose chat template reads no such variable; leave it "
        "out, or choose a model that can be told"
    )


def merged(fields: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with those that options add; objects in both are joined. Raises UserError."""
    result = dict(fields)
    for name, value in added.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        elif name in result:
            raise UserError(
                f"--body sets '{name}', and so does another option (--thinking, "
                "--reasoning-effort); give one of them"
            )
        else:
            result[name] = value
    return result


def _checked_fields(text: str) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(text)
    except UNREADABLE as error:
        raise UserError(
            f"--body is not JSON ({error}); it takes an object such as {_EXAMPLE}"
        ) from None
    if not isinstance(fields, dict) or not isinstance(fields.get(TEMPLATE_VARIABLES, {}), dict):
        where = f"'{TEMPLATE_VARIABLES}' in --body" if isinstance(fields, dict) else "--body"
        raise UserError(f"{where} is not a JSON object; --body takes one such as {_EXAMPLE}")
    for name in fields:
        if flag := _FLAGS.get(name):
            raise UserError(f"--body cannot set '{name}', which has an option of its own: {flag}")
        if name in _OWN:
            raise UserError(f"--body cannot set '{name}', which autocoa-bench sets itself")
    for name in _names(fields):
        if is_secret_name(name):
            raise UserError(
                f"--body sets '{name}', which looks like a secret, and run.json would record it; "
                "secrets belong in --headers FILE or in --key-file FILE"
            )
    return fields


_EXAMPLE = """'{"chat_template_kwargs": {"enable_thinking": false}}'"""


def _names(value: Any) -> Iterator[str]:
    """The names of all fields in a JSON value."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            yield from _names(inner)
    if isinstance(value, dict):
        yield from value
