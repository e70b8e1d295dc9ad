"""Reading of refusals: a prompt or an answer that is too long, or a field that is not taken.

No standard defines these messages. The patterns cover families of wordings rather than single
messages; tests/engines/test_refusals.py lists what real servers say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from autocoa_bench.types import Refused

_NUMBER = r"(\d{1,3}(?:[,_.' \u00a0\u202f]\d{3})+(?!\d)|\d+)"
"""A number, with separators between thousands or without."""

_LONG = (
    # The names of the error in codes and types of all kinds of servers.
    r"context_?(?:length|window|size|limit)_?exceed|context_?too_?(?:long|large)"
    r"|exceed_?context|(?:prompt|input|request|messages?)_?too_?(?:long|large)"
    r"|string_above_max_length|tokens_limit_reached|(?:max|exceeded)_?context_?(?:length|window)"
    # Something of the prompt is too long.
    r"|(?:prompt|inputs?|input length|messages?|conversation|context|request|request body|history"
    r"|(?:input|prompt) tokens?)\b[^.]{0,40}?\b(?:is|are|was|were|be|has|have|length)?\s*"
    r"too (?:long|large|big|many tokens)"
    r"|too many (?:total |input |prompt )?(?:text )?(?:tokens|bytes)|too long for\b"
    r"|has too many tokens|\blong inputs?\b[^.]{0,20}not supported"
    # Something exceeds what the model has room for.
    r"|(?:exceed\w*|longer than|larger than|greater than|more than|over|beyond|surpass\w*"
    r"|overflow\w*|does not fit|doesn't fit|fit into|fit in)\b[^.]{0,60}?(?:context"
    r"|max_(?:seq|model|input|prompt|position|context|num|total)\w*"
    r"|(?:prompt|input|sequence|message) (?:length|limit|tokens?)"
    r"|maximum (?:number of )?(?:input |allowed )?(?:tokens?|length|prompt|input|sequence)"
    r"|(?:model|token|tokens|length)[ _](?:token )?limit|n_ctx|limit of [\d,.]+)"
    r"|(?:context|prompt|inputs?|sequence|token)\b[^.]{0,50}?(?:exceed|overflow|longer than"
    r"|surpass|reached|over the limit|is full)"
    r"|inputs?\b[^.]{0,60}?must (?:be <|have (?:less|fewer)|not exceed|be less|be at most)"
    r"|cannot exceed [\d,.]+ ?(?:tokens|-)|input length should be|less than max_seq_len"
    r"|should be greater than 0, default_max_tokens|content length exceed|> (?:the )?context"
    r"|(?:more|greater) than (?:the )?max(?:imum)?\b[^.]{0,20}(?:tokens|\d)|max_prompt_tokens"
    r"|token length must be|context (?:window )?(?:is )?full"
    r"|(?:prompt|inputs?|messages?|conversation|context)\b[^.]{0,40}\b(?:longer|larger|bigger) than"
    r"|(?:message|text|content) length exceeds|token capacity|context (?:only has|has only)"
    r"|^[^.]*\btokens? limit exceeded|\bhas [\d,.]+ tokens, (?:the )?(?:limit|max\w*)"
    r"|can only (?:process|handle|take) [\d,.]+ (?:input |prompt )?tokens"
    r"|supports (?:only |at most |a maximum of |up to )+[\d,.]+ (?:input |prompt )?tokens"
    # What to do about it.
    r"|(?:reduce|shorten|decrease|trim)\b[^.]{0,30}\b(?:prompt|messages?|inputs?|conversation|context)"
    r"|shorter (?:prompt|input|message|inputs)"
    r"|(?:输入|上下文|提示词|[Pp]rompt|对话|请求)[^。]{0,20}(?:超长|过长|超出|超过|太长|长度超)|超出最大长度|最大输入长度"
)
_TOO_LONG = re.compile(_LONG, re.IGNORECASE)
_MENTIONS_ROOM = re.compile(
    r"maximum (?:context|model|prompt) length|available context size"
    r"|context (?:length|window|size) (?:is|of)",
    re.IGNORECASE,
)
_ANOTHER_LENGTH = re.compile(
    r"(?:image|audio|video|file|attachment|picture|document|upload|media|pixel)s?\b[^.]{0,60}"
    r"(?:too (?:large|big|long|many)|size|\bMB\b|bytes|dimension|pixels)"
    r"|exceed\w*[^.]{0,40}(?:\bMB\b|megapixel|image|file size|pixels)"
    r"|(?:function|tool|schema|user|name|metadata|stop|key|url|header|id)\b[^.:]{0,30}"
    r"(?:too long|too many)|out of memory|queue|requests? per"
    r"|took too long|too long to (?:process|respond|load|start|complete|answer)"
    r"|(?:rate|call|usage|spending|concurren\w+) ?limit|rate_?limit|thrott|per[ _-]?(?:min|day|sec)"
    r"|\bT[PD]M\b|quota|too many requests|time ?out|deadline",
    re.IGNORECASE,
)
_ANSWER = (
    r"(?:max[_ ]?(?:completion_|output_|new_)?tokens|max(?:Output|New|Completion)?Tokens"
    r"|maximum tokens|output tokens|completion tokens)"
)
_LONG_ANSWER = re.compile(
    rf"{_ANSWER}\W[^;]{{0,100}}?(?:too (?:large|big|high|many)|at most|<=|>|less than|lower than"
    rf"|exceed|range|greater than|limited|cannot be (?:more|larger)|must not)"
    rf"|range of {_ANSWER}|(?:at most|maximum|up to|limit)[^.]{{0,30}}(?:output|completion) tokens",
    re.IGNORECASE,
)
_WITH_PROMPT = re.compile(
    r"maximum context length|input (?:length|tokens?)\W{1,3}(?:and|\+|plus)|inputs\W+tokens\W+\+"
    r"|input tokens|in the messages|in your prompt|prompt (?:contains|tokens)"
    r"|prompt length|prompt \+|context limit|prompt_len"
    r"|length of (?:the |your )?(?:messages|prompt|input)",
    re.IGNORECASE,
)

_CONTEXT_SIZES = tuple(
    re.compile(pattern.replace("N", rf"{_NUMBER}(?!\d| \+)"), re.IGNORECASE)
    for pattern in (
        r"maximum sequence length N",
        r"(?:context|model|sequence|token)[ _](?:length|window|size|limit)s?\)?"
        r"(?: \(?in tokens\)?)?"
        r"(?: is only| of only| is| of|:| =| for this model is|,? which is)? \(?N",
        r"(?:maximum|max|allowed|configured)(?: allowed| model)? "
        r"(?:input|prompt|sequence|total|limit)[ _]?(?:length|size|tokens)?"
        r"(?: is| of|:| =| allowed)? \(?N",
        r"(?:maximum|max) allowed (?:input )?length(?: is| of)? \(?N",
        r"available context(?: is| is only| of| size of)? \(?N",
        r"\bn_ctx\W+N",
        r"\d \+ \d[\d,]* > N",
        r"tokens > N",
        r"N maximum context length",
        r"maximum (?:number of )?(?:input )?tokens(?: allowed)?[^\d.]{0,12}N",
        r"exceeds the maximum \(?N",
        r"(?:should be|must be)(?: in)? \[\d+, ?N\]",
        r"max_(?:seq_len|model_len|num_tokens|input_length|total_tokens|context_length"
        r"|input_tokens|prompt_tokens)(?:\W+| of )N",
        r"(?:must be <=|must have (?:less|fewer) than|cannot exceed|must be less than"
        r"|must not exceed|not exceed|while limit is|limit of|limit for this model is"
        r"|token limit:|supports up to|total tokens limit|session_len|supports at most) ?N",
        r"max size: N tokens",
        r"\(TPM\): Limit N",
        r"(?:上下文|最大)\D{0,12}N",
        r"\d > N",
        r"(?:limit|window|context) of this model \(?N",
        r"must be in \(\d+, ?N",
        r"(?:maximum|max|up to|at most|limit|exceeds|context)(?: of| is|:|,)? N",
    )
)
# vLLM's "at least 8193 input tokens" is where it stopped counting, not the number of tokens.
_PROMPT_SIZES = tuple(
    re.compile(pattern.replace("N", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"(?<!at least )\bN (?:tokens )?(?:in the messages|in your prompt|input(?:s|ed)? tokens"
        r"|tokens from the input|of text input|of the input)",
        r"(?:resulted in|input|request|length|prompt|requested tokens|prompt length|input length)"
        r" \(N(?: tokens)?\)? ?",
        r"(?:resulted in |input \(|request \(|\((?:total )?length |prompt of )N",
        r"n_prompt_tokens\W+N",
        r"exceed context limit: N",
        r"too long: N",
        r"input token count(?: is| of|:)? \(?N",
        r"prompt (?:token count of|has|contains|length|tokens:?) \(?N",
        r"(?:request contains|number of input tokens|current length is|keep the first) N",
        r"input length (?:of )?N",
        r"prompt_tokens \(N\)",
        r"given: N",
        r"- received N",
        r"splited_prompt_len \(N\)",
        r"N > \d",
        r"(?:you sent|but got|requested token count:?|prompt has|but has) N",
        r"\bbut N (?:tokens )?(?:were|was)",
    )
)
_LEAST_CONTEXT = 256
"""The smallest number that is taken for a context size without a word that says so."""
_TOO_LARGE_FOR_RATE = re.compile(r"limit:? (\d+)[^.]{0,40}requested:? (\d+)", re.IGNORECASE)


def too_long(status: int, text: str) -> bool:
    """True if a refusal is for the prompt's length. `text` is all that the reply says."""
    if status in (401, 402, 404):
        return False
    if exceeds_rate_alone(text):
        return True
    if status == 413:  # all of our requests is text, so nothing else can be too large
        return _ANOTHER_LENGTH.search(text) is None or _TOO_LONG.search(text) is not None
    if status == 429 or _ANOTHER_LENGTH.search(text) or is_long_answer(text):
        return False
    if _TOO_LONG.search(text):
        return True
    return status in (400, 422, 500) and _MENTIONS_ROOM.search(text) is not None


_FILTERED = re.compile(
    r"content[ _-]?(?:management |filtering |safety |usage )?(?:policy|policies|filter)|flagged"
    r"|moderation|safety (?:system|filter|polic)|responsible_?ai|usage polic|guardrail"
    r"|(?:inappropriate|prohibited|sensitive|harmful) content|data_?inspection|content exists risk"
    r"|considered high risk|敏感内容|违规内容|不安全",
    re.IGNORECASE,
)


def is_filtered(status: int, text: str) -> bool:
    """True if a refusal is a content filter's, for what the prompt or the answer says."""
    return status in (400, 403, 422, 451) and _FILTERED.search(text) is not None


def exceeds_rate_alone(text: str) -> bool:
    """True if one request asks for more tokens than its rate limit allows in a minute."""
    match = _TOO_LARGE_FOR_RATE.search(text)
    is_minute = re.search(r"per[ _]?min|\bTPM\b", text) is not None
    return match is not None and is_minute and int(match[2]) > int(match[1])


def is_long_answer(text: str) -> bool:
    """True if a refusal says that more tokens are requested than the model ever writes."""
    return _LONG_ANSWER.search(text) is not None and _WITH_PROMPT.search(text) is None


def answer_limit(text: str, requested: int) -> int | None:
    """The tokens to request instead after such a refusal; None if none would do."""
    numbers = (_as_int(match[0]) for match in re.finditer(_NUMBER, text))
    limit = max((number for number in numbers if 16 <= number < requested), default=requested // 2)
    return limit if limit >= 16 else None


def refused(message: str) -> Refused:
    """A refusal for length, with the sizes that its message contains."""
    context = next(_numbers(_CONTEXT_SIZES, message), None)
    prompt = next((size for size in _numbers(_PROMPT_SIZES, message) if size != context), None)
    if context is None and prompt is not None:
        # The largest number below the prompt's, as in "prompt (9000) exceeds limit (8192)".
        sizes = (_as_int(match[0]) for match in re.finditer(_NUMBER, message))
        context = max((size for size in sizes if _LEAST_CONTEXT <= size < prompt), default=None)
    return Refused(message, context, prompt)


def sizes(message: str, text: str) -> str:
    """The sizes that an error has beside its message, as a suffix for the message."""
    inside, everywhere = refused(message), refused(text)
    named = {
        "n_ctx": everywhere.context_tokens if inside.context_tokens is None else None,
        "n_prompt_tokens": everywhere.prompt_tokens if inside.prompt_tokens is None else None,
    }
    listed = ", ".join(f"{name} {size}" for name, size in named.items() if size is not None)
    return f" ({listed})" if listed else ""


_NO_TOOLS = re.compile(
    r"tool choice requires|enable-auto-tool-choice|tool-call-parser|tools? param requires"
    r"|(?:does|do) not support (?:tool|function)|found that support tool"
    r"|(?:tool|function)s?(?:[ _-](?:use|calling|calls?))?\b[^.]{0,20}\bnot (?:supported|enabled)",
    re.IGNORECASE,
)
_MANDATORY = frozenset(
    {"model", "messages", "prompt", "tools", "continue_final_message", "add_generation_prompt"}
)
_ALIASES = {
    "stop": "stop_?sequences?|stop_?words|stop_?strings?",
    "max_tokens": "maxTokens|max_?output_?tokens|max_?new_?tokens",
    "top_p": "topP|top-p",
    "top_k": "topK|top-k",
    "min_p": "minP|min-p",
    "repetition_penalty": "repetitionPenalty|repeat_penalty",
}
_QUOTE = "['\"`‘’“”]"
_NOT_TAKEN = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|not (?:be )?(?:support|permit|allow|accept"
    r"|recogni[sz]|expect|available|implement|valid for|compatible|applicable|enabled|configurable)"
    r"|n't (?:support|permit|allow|accept|recogni|available)|not (?:take|support|accept|allow|have)"
    r"|extra_?forbidden|extra (?:inputs?|fields?|keys?)|additional propert|deprecated|obsolete"
    r"|removed|no longer"
    r"|\bonly\b[^.]{0,40}(?:allow|support|accept|valid|permit|value|default|be set)"
    r"|(?:may|can) only|cannot|can't|can not|may not|must not|should not|incompatible|exclusive"
    r"|not both|no such|cannot find|disabled|reject|forbidden|prohibited"
    r"|not a? ?(?:valid|permitted)|not (?:apply|defined)|requires \w+ ?= ?1\b|must be set to"
    r"|invalid (?:argument|parameter|field|property|key|request argument|name)|illegal"
    r"|ignored|fixed|must be (?:unset|omitted|null|none|default|left out)|must be 1\b"
    r"|不支持|不允许|无效|非法",
    re.IGNORECASE,
)
_ACCEPTED = re.compile(
    r"\bexpected (?:one of|only|any of)\b"
    r"|(?<!not )(?<!n't )\b(?:supported|allowed|valid|accepted|permitted|known)"
    r" (?:\w+ )?(?:parameters|fields|arguments|keys|names|params)\b",
    re.IGNORECASE,
)
"""What comes before a list of the fields that are taken."""
_OUT_OF_RANGE = re.compile(
    r"must be|should be|has to be|out of range|at least|at most|between|greater|less|positive"
    r"|\binvalid\b|[<>]|range",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(
    r"too many|at most|up to|array too long|no more than|more than|max(?:imum)?\b|exceed|limit"
    r"|only (?:one|\d)|\(max|too long",
    re.IGNORECASE,
)
_STOPS_AT_FAULT = re.compile(
    rf"white ?-?space|blank|empty|printable|visible|invalid|{_TOO_MANY.pattern}", re.IGNORECASE
)
_ABOVE_ZERO = re.compile(r"positive|greater|> ?0|at least", re.IGNORECASE)
_NEUTRAL: dict[str, tuple[float, ...]] = {
    "top_p": (1.0,),
    "top_k": (0, -1),
    "min_p": (0.0,),
    "repetition_penalty": (1.0,),
}
"""The values that change nothing."""
_ONE_OF_TWO = re.compile(
    r"both|together|simultaneous|same time|only one|either|exclusive|combin|one of|not recommend"
    r"|\b(?:when|if|while|unless)\b",
    re.IGNORECASE,
)


def refused_fields(text: str, sent: Mapping[str, Any]) -> frozenset[str]:
    """The optional fields of the request `sent` that the model does not take, per a refusal.

    A field counts if its name stands in a sentence that says so, or has a value out of range that
    it need not have. Of two that exclude each other, the one whose value says less counts.
    """
    fields: set[str] = set()
    for sentence in re.split(r"(?<=[^\d\W])['\")\]`]*\.\s|;\s|\bPlease\b", text):
        sentence = _ACCEPTED.split(sentence, maxsplit=1)[0]
        named = [field for field in sent if field not in _MANDATORY and _names(field, sentence)]
        if {"temperature", "top_p"} <= set(named) and _ONE_OF_TWO.search(text):
            return frozenset({_weaker(sent)})
        if _NOT_TAKEN.search(sentence):
            fields.update(named)
        elif _OUT_OF_RANGE.search(sentence):
            fields.update(field for field in named if _says_nothing(field, sent[field], sentence))
    return frozenset(fields)


def refuses_tools(text: str) -> bool:
    """True if a refusal says that the server or its model takes no tools at all."""
    return _NO_TOOLS.search(text) is not None


def names_stops(text: str) -> bool:
    """True if a refusal is about the stop strings: their number, their length, their content."""
    return _names("stop", text) and _STOPS_AT_FAULT.search(text) is not None


def counts_stops(text: str) -> bool:
    """True if a refusal is about the number of stop strings."""
    return _TOO_MANY.search(text) is not None


def _names(field: str, sentence: str) -> bool:
    """Whether a sentence names a field of a request, rather than uses its name as a word."""
    names = "|".join(filter(None, (re.escape(field), _ALIASES.get(field))))
    before = (
        r"(?:param(?:eter)?s?:?|arguments?:?|fields?:?|supplied:|loc:|body[.:]| -> |->|\[|, )\s*"
    )
    place = rf"{_QUOTE}(?:\w+\.)*(?:{names}){_QUOTE}|{before}(?:\w+\.)*(?:{names})(?![a-z0-9_-])"
    place += rf"|(?:^|[\s(.])(?:{names})(?=\s?[:=]|\W*$| is\b| must\b| not\b| > | may\b| cannot\b)"
    place += rf"|\b(?:invalid|unsupported) (?:{names})\b|\bonly (?:{names})\s?="
    place += rf"|: (?:{names})(?=\s\w+:)"  # at the end of a message, before another field
    if "_" in field or field == "temperature":
        place += rf"|(?<![\w.])(?:{names})(?![a-z0-9_-])"
    elif field == "seed":
        place += r"|\bseed\b"
    elif field == "stop":
        place += r"|\bstop[_ ](?:sequences?|words?|strings?|parameter)"
    elif field == "n":
        place += r"|\bn ?(?:>|=|must)|multiple (?:completions|choices|candidates)"
    return re.search(place, sentence, re.IGNORECASE) is not None


def _says_nothing(field: str, value: Any, sentence: str) -> bool:
    """Whether leaving out a value that is out of range changes little."""
    if field == "temperature":  # some servers have no greedy sampling
        return value == 0 and _ABOVE_ZERO.search(sentence) is not None
    return field in ("seed", "n") or value in _NEUTRAL.get(field, ())


def _weaker(sent: Mapping[str, Any]) -> str:
    """Of temperature and top_p, the one at its neutral value."""
    neutral = sent.get("temperature") == 1.0 and sent.get("top_p") != 1.0
    return "temperature" if neutral else "top_p"


def _numbers(patterns: tuple[re.Pattern[str], ...], text: str) -> Iterator[int]:
    for pattern in patterns:
        match = pattern.search(text)
        if match and (number := _as_int(match[1])) >= 16:
            yield number


def _as_int(digits: str) -> int:
    return int(re.sub(r"\D", "", digits))
