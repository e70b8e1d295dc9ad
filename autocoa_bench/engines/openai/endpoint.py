"""A model at a server: requests in the form, and within the limits, that the server takes."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from autocoa_bench.engines.openai import model_list, replies
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.model_list import ModelCard
from autocoa_bench.engines.openai.model_server import ModelServerClient
from autocoa_bench.engines.openai.request_limits import NO_LIMITS, RequestLimits
from autocoa_bench.engines.openai.turn_tokenizer import TurnTokenizer
from autocoa_bench.engines.request_options import RequestOptions
from autocoa_bench.errors import UNREADABLE, EngineFault, UserError
from autocoa_bench.types import Completion, Generate, ModelTraits, Sampling
from autocoa_bench.util.error_text import excerpt
from autocoa_bench.util.http_client import (
    NO_SUCH_PATH,
    PROBE_TIMEOUT,
    BadReply,
    RateLimited,
    StatusError,
    TransientError,
)
from autocoa_bench.util.text import one_line

TRIALS = 3
"""The retries of a request that only asks what a server can do."""
_LOST = 2
"""The further requests before the run that ask for a path which seems not to be there."""

T = TypeVar("T")


class RefusedOption(UserError):
    """A field that an option of the run asks for, which the server does not take."""

    def __init__(self, root: str, fields: Iterable[str], refusal: str) -> None:
        super().__init__(
            f"the model server at {root} does not take {', '.join(sorted(fields))}, which --body "
            f"or an option of requests asks for; leave it out ({one_line(refusal, 200)})"
        )


class Endpoint:
    """A model at a base URL (which ends with `/v1`).

    `openai.startup` finds out what the server needs: `form`, `tokenizer` (for `template`) and
    `limits`; which models it lists (`cards`), and the model's `traits`. `first_limits` are the
    limits at the end of the start. `options` are those of requests, and `variables` what they set
    in the chat template.
    """

    def __init__(
        self, model: str, base_url: str, http: ModelServerClient, options: RequestOptions
    ) -> None:
        self.model = model
        self.base_url = base_url
        self.root = base_url.removesuffix("/v1")
        self.http = http
        self.options = options
        self.variables: dict[str, Any] = {}
        self.form = wire.RequestForm("chat", "other", model)
        self.tokenizer: TurnTokenizer | None = None
        self.limits = NO_LIMITS
        self.first_limits: RequestLimits | None = None
        self.cards: list[ModelCard] = []
        self.traits = ModelTraits()

    @property
    def url(self) -> str:
        """Where completions are requested."""
        if self.form.is_native:
            return self.root + wire.NATIVE_PATH
        return self.base_url + wire.PATHS[self.form.protocol]

    @property
    def is_unlisted(self) -> bool:
        """True if the server has a list of models, without ours."""
        return bool(self.cards) and model_list.find(self.model, self.cards) is None

    async def post(
        self,
        request: Generate,
        sampling: Sampling,
        n: int = 1,
        prompt: msgspec.Raw | None = None,
        timeout: float | None = None,
    ) -> list[Completion]:
        """One attempt at a request for completions."""
        form, specials = self.form, tuple(self.tokenizer.specials if self.tokenizer else ())
        while True:
            limits = self.limits
            body = wire.request_body(form, request, sampling, n, prompt, specials, limits)
            start = time.perf_counter()
            try:
                data = await self.send("POST", self.url, body, timeout)
                break
            except (StatusError, TransientError) as error:
                is_limit = isinstance(error, RateLimited)
                if limits is self.limits and (
                    is_limit or not self._narrow_limits(error.text, body)
                ):
                    raise
        seconds = time.perf_counter() - start
        try:
            completions = replies.read_reply(form.reply_form, data, n, seconds, request)
        except BadReply as error:
            raise self.http.error_in(data) or error from None
        if limits is NO_LIMITS:
            return completions
        return [limits.cut(completion, request.stop) for completion in completions]

    async def send(
        self, method: str, url: str, body: bytes | None = None, timeout: float | None = None
    ) -> bytes:
        """The reply to a request; before the run, a path must be missing repeatedly.

        Routers lose their servers in passing, which must not decide on the protocol of a run.
        """
        for _ in range(_LOST if self.first_limits is None else 0):
            try:
                return await self.http.send(method, url, body, timeout)
            except StatusError as error:
                if error.status not in NO_SUCH_PATH:
                    raise
        return await self.http.send(method, url, body, timeout)

    def _narrow_limits(self, refusal: str, body: bytes) -> bool:
        """Adapt all further requests to the refusal of one; False if it names nothing to adapt.

        Once the run has begun, a warning says so. Raises RefusedOption.
        """
        limits = self.limits.after(refusal, msgspec.json.decode(body)) if refusal else None
        if limits is None:
            return False
        if refused := limits.refused & self.form.added.keys():
            raise RefusedOption(self.root, refused, refusal)
        self.limits = limits
        if self.first_limits is not None:
            listed = ", ".join(f"{name} {value}" for name, value in limits.settings().items())
            print(
                f"warning: the model server at {self.root} has refused a part of a request; from "
                f"now on requests keep to: {listed} ({one_line(refusal, 200)})",
                file=sys.stderr,
            )
        return True

    async def probe(self, timeout: float | None = PROBE_TIMEOUT) -> None:
        """Send a tiny request, which any server that is up can answer."""
        prompt = msgspec.Raw(msgspec.json.encode(wire.PROBE.prompt.opening[0].content))
        # An empty reply, perhaps of a model that is still thinking, is an answer too.
        with suppress(replies.EmptyReply):
            await self.post(wire.PROBE, Sampling(), 1, prompt, timeout)

    async def complete(self, request: Generate, prompt: msgspec.Raw | None = None) -> Completion:
        """The completion of a probe; see `probes.Complete`."""
        [completion] = await self.http.retry(
            lambda: self.post(request, Sampling(), 1, prompt), retries=1
        )
        return completion

    async def call(
        self, path: str, body: object, field: str, field_type: type[T], *, once: bool = False
    ) -> T:
        """A field of the reply at a path of the server, or the whole reply for an empty `field`.

        The request is a GET if `body` is None. `once` is that of `turn_tokenizer.Call`, and
        means nothing once the engine has started.
        """
        url, method = self.root + path, "GET" if body is None else "POST"
        data = None if body is None else msgspec.json.encode(body)
        is_trial = once and self.first_limits is None

        async def attempt() -> T:
            reply = await self.send(method, url, data, PROBE_TIMEOUT if is_trial else None)
            try:
                if field:
                    reply = bytes(msgspec.json.decode(reply, type=dict[str, msgspec.Raw])[field])
                return msgspec.json.decode(reply, type=field_type)
            except (KeyError, *UNREADABLE):
                raise BadReply(f"not a reply of {path}: {excerpt(reply)}") from None

        if is_trial:
            return await self.http.retry(attempt, TRIALS)
        try:
            return await self.http.retry_through_outage(attempt, self.probe)
        except StatusError as error:
            raise self.rejection(error, url) from None

    def rejection(self, error: StatusError, url: str) -> Exception:
        """The exception for a refusal that no retry helps: UserError or EngineFault."""
        if error.status in NO_SUCH_PATH:
            if self.is_unlisted:
                return model_list.wrong_name(self.root, self.model, self.cards)
            return UserError(
                f"{url} or the model '{self.model}' does not exist there ({error}); check "
                "--base-url and --model"
            )
        return EngineFault(error.kind, str(error))
