"""Rate limits and quotas: how long servers ask to wait, and when waiting is in vain."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict

from autocoa_bench.util import gate
from autocoa_bench.util.gate import Gate
from autocoa_bench.util.rate_limits import is_exhausted, is_limit, named_wait

WAITS: list[tuple[dict[str, str], str, float | None]] = [
    (
        {},
        "Rate limit reached for gpt-4 in organization org-x on tokens per min (TPM): Limit "
        "10000, Used 8554, Requested 3082. Please try again in 9.816s. Visit "
        "https://platform.openai.com/account/rate-limits to learn more.",
        9.816,
    ),
    ({}, "Please try again in 644ms.", 0.644),
    ({}, "Please try again in 6m0s.", 360.0),
    ({}, "Please try again in 1m3s", 63.0),
    ({}, "try again in 20s", 20.0),
    ({}, "Rate limit is exceeded. Try again in 12 seconds.", 12.0),
    (
        {},
        "exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after "
        "2 seconds. Please go here: https://aka.ms/oai/quotaincrease",
        2.0,
    ),
    ({}, "request reached organization max RPM: 3, please try again after 1 seconds", 1.0),
    ({}, "Please retry in 26.7s.", 26.7),
    ({}, "retryDelay: 13s", 13.0),
    ({}, '"retryDelay": "13s"', 13.0),
    ({}, "Rate limited, retry_after: 7", 7.0),
    ({}, "retry_after_ms: 1500", 1.5),
    ({}, "Too many requests. Wait 1 minute and 5 seconds before the next one", 65.0),
    ({}, "Expected available in 30 seconds.", 30.0),
    ({}, "The limit resets in 2 minutes", 120.0),
    ({}, "slow down", None),
    ({}, "HTTP 429", None),
    ({"retry-after": "7"}, "", 7.0),
    ({"retry-after": "0.5"}, "", 0.5),
    ({"retry-after": "1.5", "retry-after-ms": "250"}, "", 0.25),
    ({"retry-after": "2"}, "try again in 20s", 2.0),
    ({"retry-after": "soon"}, "try again in 20s", 20.0),
    ({"retry-after": "inf"}, "", None),
    ({"retry-after": "30s"}, "", 30.0),
    ({"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}, "", 0.0),
    (
        {"retry-after": "Wed, 01 Jan 2020 00:00:30 GMT", "date": "Wed, 01 Jan 2020 00:00:00 GMT"},
        "",
        30.0,
    ),
    ({"retry-after": "Mon, 01 Jan 99999999999999 00:00:00 GMT"}, "", None),
    (
        {
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-requests": "59",
        },
        "",
        360.0,
    ),
    ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-reset-requests": "1s"}, "", 1.0),
    ({"x-ratelimit-reset-requests": "120ms"}, "", 0.12),
    ({"ratelimit-reset": "12"}, "", 12.0),
    ({}, "please slow down, next allowed in 5s", 5.0),
    ({}, "You can retry in 1 hour 2 minutes", 3720.0),
    ({}, "Retry after 1500 milliseconds", 1.5),
    ({}, "cooldown 30s", 30.0),
    ({}, "once more in 1m3s", 63.0),
    ({}, "Try again at 12:30", None),
]


@pytest.mark.parametrize(("headers", "text", "seconds"), WAITS)
def test_the_wait_that_a_server_names_is_read(
    headers: dict[str, str], text: str, seconds: float | None
) -> None:
    assert named_wait(CIMultiDict(headers), text) == pytest.approx(seconds)


def test_a_wait_may_be_a_time_of_day() -> None:
    reset = datetime.now(UTC) + timedelta(seconds=90)
    for value in (
        reset.isoformat(),
        reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
        f"{reset.timestamp():.0f}",
        f"{reset.timestamp() * 1000:.0f}",
    ):
        headers = CIMultiDict({"X-RateLimit-Reset": value})
        assert named_wait(headers, "") == pytest.approx(90, abs=2)
    http_date = reset.strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert named_wait(CIMultiDict({"Retry-After": http_date}), "") == pytest.approx(90, abs=2)


LIMITS = [
    (429, ""),
    (529, ""),
    (498, "Flex tier capacity exceeded"),
    (503, "The model is overloaded. Please try again later."),
    (503, "The engine is currently overloaded, please try again later"),
    (500, "overloaded_error: Overloaded"),
    (200, "type: overloaded_error message: Overloaded"),
    (503, "Service tier capacity exceeded for this model."),
    (
        503,
        "This model is currently experiencing high demand. Spikes in demand are usually temporary.",
    ),
    (503, "Model busy, server is busy"),
    (503, "no healthy upstream"),
    (400, "ThrottlingException: Too many tokens, please wait before trying again."),
    (400, "Throttling.RateQuota: Requests rate limit exceeded, please try again later."),
    (403, "You have exceeded a secondary rate limit"),
    (
        500,
        "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for gpt-4o",
    ),
    (500, "status: RESOURCE_EXHAUSTED"),
]


@pytest.mark.parametrize(("status", "text"), LIMITS)
def test_a_server_with_too_many_requests_is_waited_for(status: int, text: str) -> None:
    assert is_limit(status, text)
    assert not is_exhausted(status, text)


OTHERS = [
    (400, "temperature must be at most 2"),
    (500, "internal error"),
    (502, "Bad gateway"),
    (503, "Loading model"),
    (403, "forbidden"),
    (401, "rate limit"),
    (404, "try again later"),
    (400, "prompt is too long"),
]


@pytest.mark.parametrize(("status", "text"), OTHERS)
def test_another_failure_is_no_limit(status: int, text: str) -> None:
    assert not is_limit(status, text)


EXHAUSTED = [
    (402, ""),
    (402, "Insufficient Balance"),
    (403, "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"),
    (
        429,
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors. type: "
        "insufficient_quota",
    ),
    (429, "code: insufficient_quota"),
    (429, "You exceeded your current quota."),
    (
        400,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
        "Billing to upgrade or purchase credits.",
    ),
    (
        400,
        "You have reached your specified API usage limits. You will regain access on "
        "2026-12-01 at 00:00 UTC.",
    ),
    (429, "Billing hard limit has been reached code: billing_hard_limit_reached"),
    (400, "Billing hard limit has been reached code: billing_hard_limit_reached"),
    (
        429,
        "Your account is not active, please check your billing details on our website. code: "
        "billing_not_active",
    ),
    (
        429,
        "Rate limit reached for gpt-4 in organization org-x on requests per day (RPD): Limit "
        "200, Used 200, Requested 1. Please try again in 7m12s.",
    ),
    (
        429,
        "Rate limit reached for model `x` in organization `y` service tier `on_demand` on "
        "tokens per day (TPD): Limit 100000, Used 99965, Requested 531. Please try again in "
        "7m8.5s.",
    ),
    (
        429,
        "You exceeded your current quota, please check your plan and billing details. quotaId: "
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier retryDelay: 32s",
    ),
    (
        429,
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model "
        "requests per day",
    ),
    (429, "You are using a Trial key, which is limited to 1000 API calls / month."),
    (429, "Your team has either used all available credits or reached its monthly spending limit."),
    (429, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0"),
    (400, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0 type: budget_exceeded"),
    (403, "Sorry, your account balance is insufficient"),
    (403, "Key limit exceeded (daily limit)"),
    (429, "余额不足或无可用资源包,请充值。"),
    (
        429,
        "Your account org-x is suspended, please check your plan and billing details type: "
        "exceeded_current_quota_error",
    ),
    (400, "Access denied, please make sure your account is in good standing. code: Arrearage"),
    (429, "Daily limit reached. Try again tomorrow."),
    (429, "You have exceeded your monthly included credits for Inference Providers."),
    (429, "You have run out of credits"),
    (429, "Your prepaid balance is exhausted"),
    (429, "Quota exhausted for today"),
    (429, "Daily request limit exceeded"),
    (429, "You've hit your daily limit"),
    (429, "Monthly quota exceeded"),
    (429, "Free tier limit reached, please upgrade"),
    (429, "Please top up your account"),
    (429, "Insufficient account balance"),
    (429, "Please add a payment method"),
    (429, "Hard limit reached"),
    (429, "The account has no active subscription"),
    (429, "402 Payment Required"),
    (429, "Usage cap exceeded"),
    (429, "requests_per_day"),
    (429, "25 requests per day on the free plan"),
    (429, "exceeded daily quota"),
    (429, "TPD limit"),
    (429, "token quota is not enough"),
    (429, "今日额度已用完"),
    (429, "账户余额不足"),
]


@pytest.mark.parametrize(("status", "text"), EXHAUSTED)
def test_a_quota_that_is_used_up_is_not_waited_for(status: int, text: str) -> None:
    assert is_exhausted(status, text)


NOT_EXHAUSTED = [
    (
        429,
        "Rate limit reached for gpt-4 in organization org-x on tokens per min (TPM): Limit "
        "10000, Used 8554, Requested 3082. Please try again in 9.816s. Visit "
        "https://platform.openai.com/account/rate-limits to learn more. You can increase your "
        "rate limit by adding a payment method to your account at "
        "https://platform.openai.com/account/billing.",
    ),
    (
        429,
        "You exceeded your current quota, please check your plan and billing details. quotaId: "
        "GenerateContentInputTokensPerModelPerMinute-FreeTier retryDelay: 26s",
    ),
    (
        429,
        "You exceeded your current quota, please check your plan and billing details. "
        "retryDelay: 26s",
    ),
    (429, "Resource has been exhausted (e.g. check quota)."),
    (
        429,
        "Quota exceeded for "
        "aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model "
        "with base model: gemini-pro. Please submit a quota increase request.",
    ),
    (
        429,
        "Requests to the ChatCompletions_Create Operation have exceeded token rate limit of "
        "your current OpenAI S0 pricing tier. Please retry after 2 seconds. Please go here: "
        "https://aka.ms/oai/quotaincrease if you would like to further increase the default "
        "rate limit.",
    ),
    (
        429,
        "Throttling.AllocationQuota: Allocated quota exceeded, please increase your quota limit.",
    ),
    (429, "Too many requests"),
    (429, ""),
    (500, "internal error"),
    (404, "insufficient_quota"),
    (400, "This model's maximum context length is 8192 tokens"),
    (403, "forbidden"),
    (429, "You are using a Trial key, which is limited to 10 API calls / minute."),
    (400, "Invalid request: rates per day must be positive"),
    (529, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "text"), NOT_EXHAUSTED)
def test_a_limit_a_minute_is_no_quota_that_is_used_up(status: int, text: str) -> None:
    assert not is_exhausted(status, text)


class Clock:
    """Sleeps that last no time, and are counted."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.sleep(0)


def test_requests_wait_for_a_limit_together() -> None:
    async def run() -> list[float]:
        clock = Clock()
        door = Gate(8, clock.sleep)
        tickets = [await door.enter() for _ in range(8)]
        for _ in tickets:
            door.leave()
        waits = (door.wait(ticket, 7.0, 1) for ticket in tickets)
        await asyncio.gather(*waits, door.enter())
        assert door.allowed == 4.0  # halved once, not eight times
        return clock.sleeps

    sleeps = asyncio.run(run())
    assert 7.0 <= sleeps[0] <= 7.7
    assert sum(sleeps) < 8.0


def test_a_limit_halves_what_is_in_flight_and_answers_restore_it() -> None:
    async def run() -> None:
        door = Gate(64, Clock().sleep)
        for allowed in (32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 1.0):
            ticket = await door.enter()
            door.leave()
            await door.wait(ticket, 1.0, 1)
            assert door.allowed == allowed
        answers = 0
        while door.allowed < 64:
            door.note_answer()
            answers += 1
        assert 1000 < answers < 3000

    asyncio.run(run())


def test_the_request_that_met_the_limit_is_the_first_to_go_on() -> None:
    async def run() -> list[str]:
        order: list[str] = []
        door = Gate(1, Clock().sleep)

        async def enter(name: str, *, first: bool = False) -> None:
            await door.enter(first=first)
            order.append(name)
            door.leave()

        ticket = await door.enter()
        later = asyncio.create_task(enter("later"))
        await asyncio.sleep(0)
        refused = asyncio.create_task(enter("refused", first=True))
        await asyncio.sleep(0)
        door.leave()
        await door.wait(ticket, 1.0, 1)
        await asyncio.gather(later, refused)
        return order

    assert asyncio.run(run()) == ["refused", "later"]


def test_a_request_that_is_cancelled_gives_its_place_to_the_next() -> None:
    async def run() -> None:
        door = Gate(1, Clock().sleep)
        await door.enter()
        waiting = [asyncio.create_task(door.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        door.leave()  # admits the second
        waiting[1].cancel()  # which is cancelled before it knows
        await asyncio.wait_for(waiting[2], 1)

    asyncio.run(run())


def test_waits_grow_where_a_server_names_none_or_always_the_same() -> None:
    async def run(seconds: float | None) -> list[float]:
        clock = Clock()
        door = Gate(8, clock.sleep)
        for number in range(1, 12):
            ticket = await door.enter()
            door.leave()
            await door.wait(ticket, seconds, number)
        return clock.sleeps

    for seconds in (None, 0.0):
        sleeps = asyncio.run(run(seconds))
        assert gate.LONGEST_WAIT / 2 <= sleeps[-1] <= gate.LONGEST_WAIT
        assert sleeps[0] <= gate.FIRST_WAIT


def test_a_gate_costs_next_to_nothing() -> None:
    async def run() -> float:
        door = Gate(64, Clock().sleep)
        start = time.process_time()
        for _ in range(2000):
            await door.enter()
            door.note_answer()
            door.leave()
        return (time.process_time() - start) / 2000

    assert asyncio.run(run()) < 50e-6
