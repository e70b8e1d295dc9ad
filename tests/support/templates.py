"""Chat templates that do what those of well-known models do, in a few lines each."""

_LOOP = "{% for m in messages %}"
_TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
_HEAD = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def chatml(turn: str = _TURN, head: str = "<|im_start|>assistant\n", start: str = "") -> str:
    """ChatML with another form of a message, head of the model's turn, or text at the start."""
    head = f"{{% if add_generation_prompt %}}{head}{{% endif %}}"
    return f"{start}{_LOOP}{turn}{{% endfor %}}{head}"


def of_assistant(content: str) -> str:
    """ChatML's message, with an expression for an assistant's content."""
    other = (
        "{% if m.role == 'assistant' %}{{ " + content + " }}{% else %}{{ m.content }}{% endif %}"
    )
    return f"<|im_start|>{{{{ m.role }}}}\n{other}<|im_end|>\n"


_LLAMA = "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
_LLAMA_HEAD = "<|start_header_id|>assistant<|end_header_id|>\n\n"
_GEMMA = (
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n"
)
_ALTERNATES = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
)
_NO_SYSTEM = (
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
)
_CHANNELS = (
    "{% if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>"
    "{{ m.content.split('</think>')[-1] }}{% if loop.last %}<|return|>{% else %}<|end|>{% endif %}"
    "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}"
)
_PARTS = (
    "<|im_start|>{{ m.role }}\n{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n"
)
_MISTRAL = (
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content | trim }}</s>{% endif %}"
)
_SYSTEM_INTO_LAST = (
    "{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.system = m.content + '\n\n' %}{% endif %}{% endfor %}" + _LOOP + "{% if m.role == "
    "'user' %}[INST]{% if loop.last %}{{ ns.system }}{% endif %}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
_OWN_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant."
    "<|im_end|>\n{% endif %}"
)
_DATE = "<|im_start|>system\nToday Date: {{ strftime_now('%d %b %Y') }}<|im_end|>\n"
_TOOLS = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
_REASONING = (
    "<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>{{ m.reasoning_content }}"
    "</think>{% endif %}{% if m.role == 'assistant' %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n"
)
_LAST_ONLY = (
    "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n"
)
_R1 = (
    "{% if m.role == 'user' %}<\uff5cUser\uff5c>{{ m.content }}{% elif m.role == 'assistant' %}"
    "<\uff5cAssistant\uff5c>{{ m.content.split('</think>')[-1] }}"
    "<\uff5cend\u2581of\u2581sentence\uff5c>{% else %}{{ m.content }}{% endif %}"
)

TEMPLATES = {
    "plain": chatml(),
    "drops thoughts": chatml(of_assistant("m.content.split('</think>')[-1]")),
    "drops thoughts of earlier turns": chatml(_LAST_ONLY),
    "drops thoughts and opens one": chatml(
        _R1, "<\uff5cAssistant\uff5c><think>\n", "<\uff5cbegin\u2581of\u2581sentence\uff5c>"
    ),
    "opens a thought with a line break": chatml(head="<|im_start|>assistant\n<think>\n"),
    "opens a thought without a line break": chatml(head="<|im_start|>assistant\n<think>"),
    "opens a thought with a blank line": chatml(head="<|im_start|>assistant\n<think>\n\n"),
    "writes an empty thought": chatml(head="<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    "writes an empty thought before each turn": chatml(
        of_assistant("'<think>\n\n</think>\n\n' + m.content")
    ),
    "trims contents": chatml("<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"),
    "trims contents between headers": chatml(_LLAMA, _LLAMA_HEAD, "<bos>"),
    "demands that roles alternate": chatml(_ALTERNATES + _TURN),
    "refuses a system message": chatml(_NO_SYSTEM + _TURN),
    "refuses a system message and alternates": chatml(
        _NO_SYSTEM + _ALTERNATES + _GEMMA, "<start_of_turn>model\n", "<bos>"
    ),
    "writes the date": chatml(start=_DATE),
    "adds a system message": chatml(start=_OWN_SYSTEM),
    "splits turns into channels": chatml(_CHANNELS, "<|start|>assistant"),
    "opens a channel": chatml(_CHANNELS, "<|start|>assistant<|channel|>analysis<|message|>"),
    "writes a BOS": chatml(start="{{ bos_token }}"),
    "spaces around contents": chatml(_MISTRAL, ""),
    "moves the system message to the end": _SYSTEM_INTO_LAST,
    "has a place for tools": chatml(start=_TOOLS),
    "takes contents as parts alone": chatml(_PARTS),
    "ends without a line break": chatml(head="<|im_start|>assistant"),
    "ends with a space": chatml(head="<|im_start|>assistant "),
    "takes reasoning from a field of its own": chatml(_REASONING),
    "has a header after the role": chatml(head="<|im_start|>assistant<|start_header_id|>\n"),
    "capital role names": chatml("{{ m.role | upper }}: {{ m.content }}\n\n", "ASSISTANT:"),
    "numbers the turns": chatml("[Round {{ loop.index }}] {{ m.content }}<|im_end|>", "[Answer]"),
    "quotes contents": chatml("<|im_start|>{{ m.role }}\n> {{ m.content }}<|im_end|>\n"),
    "ends each turn with the eos": chatml("{{ m.role }}\n{{ m.content }}{{ eos_token }}", "\n"),
    "fails for an assistant's message at the end": chatml(
        "{% if m.role == 'assistant' and loop.last %}{{ raise_exception('no user') }}{% endif %}"
        + _TURN
    ),
}

# White space after a block's end is trimmed, so line breaks there are texts of their own.
_BREAK = "{{ '\n' }}"
_TOOLS_IN_SYSTEM = (
    "{% if tools %}<|im_start|>system\nYou are a helpful assistant.\n\n# Tools\n\n<tools>"
    "{% for tool in tools %}" + _BREAK + "{{ tool | tojson }}{% endfor %}" + _BREAK + "</tools>\n"
    'Return a call in <tool_call></tool_call>:\n<tool_call>\n{"name": <name>, "arguments": <json>}'
    "\n</tool_call><|im_end|>\n{% endif %}"
)


def _qwen(head: str = "<|im_start|>assistant\n") -> str:
    """Qwen2.5, Qwen3: results are in a message of the user, calls are JSON in tags."""
    call = _BREAK + (
        '<tool_call>\n{"name": "{{ c.function.name }}", '
        '"arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
    )
    message = (
        "{% if m.role == 'tool' %}"
        "{% if loop.first or loop.previtem.role != 'tool' %}<|im_start|>user{% endif %}"
        + _BREAK
        + "<tool_response>\n{{ m.content }}\n</tool_response>"
        "{% if loop.last or loop.nextitem.role != 'tool' %}<|im_end|>\n{% endif %}"
        "{% elif m.tool_calls %}<|im_start|>assistant"
        "{% if m.content %}" + _BREAK + "{{ m.content }}{% endif %}"
        "{% for c in m.tool_calls %}" + call + "{% endfor %}<|im_end|>\n"
        "{% else %}" + _TURN + "{% endif %}"
    )
    return chatml(message, head, _TOOLS_IN_SYSTEM)


_QWEN_CODER = (
    _TOOLS_IN_SYSTEM + _LOOP + "{% if m.role == 'tool' %}"
    "{% if loop.previtem.role != 'tool' %}<|im_start|>user\n{% endif %}"
    "<tool_response>\n{{ m.content }}\n</tool_response>\n"
    "{% if loop.last or loop.nextitem.role != 'tool' %}<|im_end|>\n{% endif %}"
    "{% elif m.tool_calls %}<|im_start|>assistant\n{{ m.content }}{% for c in m.tool_calls %}"
    + _BREAK
    + "<tool_call>\n<function={{ c.function.name }}>\n"
    "{% for name, value in c.function.arguments | items %}<parameter={{ name }}>\n{{ value }}\n"
    "</parameter>\n{% endfor %}</function>\n</tool_call>{% endfor %}<|im_end|>\n"
    "{% else %}" + _TURN + "{% endif %}{% endfor %}" + _HEAD
)
_LLAMA_TOOLS = (
    "{% if tools %}<|start_header_id|>system<|end_header_id|>\n\n{{ tools | tojson }}<|eot_id|>"
    "{% endif %}" + _LOOP + "{% if m.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>"
    "\n\n{{ m.content | tojson }}<|eot_id|>{% elif m.tool_calls %}"
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('single tool-calls only') }}{% endif %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
    '{"name": "{{ m.tool_calls[0].function.name }}", '
    '"parameters": {{ m.tool_calls[0].function.arguments | tojson }}}<|eot_id|>'
    "{% else %}"
    + _LLAMA
    + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
    + _LLAMA_HEAD
    + "{% endif %}"
)


def _mistral(
    call: str, before: str = "", between: str = "", after: str = "", result: str = ""
) -> str:
    return (
        _LOOP + "{% if m.role == 'user' %}"
        "{% if tools and loop.first %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]"
        "{% endif %}"
        "[INST]{{ m.content }}[/INST]{% elif m.tool_calls %}{{ m.content }}"
        + before
        + "{% for c in m.tool_calls %}"
        + call
        + "{% if not loop.last %}"
        + between
        + "{% endif %}{% endfor %}"
        + after
        + "</s>{% elif m.role == 'tool' %}[TOOL_RESULTS]"
        + (result or "{{ m.content }}")
        + "[/TOOL_RESULTS]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
    )


_MISTRAL_LIST = _mistral(
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}',
    "[TOOL_CALLS][",
    ", ",
    "]",
    '{"content": {{ m.content | tojson }}}',
)
_MISTRAL_NAMED = _mistral(
    "[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}"
)


def _deepseek(call: str) -> str:
    return (
        "{% if tools %}{{ tools | tojson }}{% endif %}" + _LOOP + "{% if m.role == 'user' %}"
        "<\uff5cUser\uff5c>{{ m.content }}{% elif m.tool_calls %}<\uff5cAssistant\uff5c>"
        "{{ m.content }}<\uff5ctool\u2581calls\u2581begin\uff5c>{% for c in m.tool_calls %}"
        + call
        + "{% endfor %}<\uff5ctool\u2581calls\u2581end\uff5c>"
        "<\uff5cend\u2581of\u2581sentence\uff5c>"
        "{% elif m.role == 'tool' %}<\uff5ctool\u2581output\u2581begin\uff5c>{{ m.content }}"
        "<\uff5ctool\u2581output\u2581end\uff5c>{% else %}<\uff5cAssistant\uff5c>{{ m.content }}"
        "<\uff5cend\u2581of\u2581sentence\uff5c>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<\uff5cAssistant\uff5c>{% endif %}"
    )


_DEEPSEEK = _deepseek(
    "<\uff5ctool\u2581call\u2581begin\uff5c>{{ c.function.name }}<\uff5ctool\u2581sep\uff5c>"
    "{{ '' + c.function.arguments }}<\uff5ctool\u2581call\u2581end\uff5c>"
)
_DEEPSEEK_FENCED = _deepseek(
    "<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>"
    "{{ c.function.name }}"
    + _BREAK
    + "```json\n{{ '' + c.function.arguments }}\n```<\uff5ctool\u2581call\u2581end\uff5c>"
)
_HARMONY = (
    "{% if tools %}<|start|>developer<|message|>{{ tools | tojson }}<|end|>{% endif %}"
    + _LOOP
    + "{% if m.role == 'tool' %}<|start|>functions.search to=assistant<|channel|>commentary"
    "<|message|>{{ m.content | tojson }}<|end|>{% elif m.tool_calls %}"
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('one call a message') }}{% endif %}"
    "{% if m.content %}<|start|>assistant<|channel|>analysis<|message|>{{ m.content }}<|end|>"
    "{% endif %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}<|channel|>"
    "commentary json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>"
    "{% elif m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "<|end|>{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)

TOOL_TEMPLATES = {
    "Qwen2.5": _qwen(),
    "Qwen3 Thinking": _qwen("<|im_start|>assistant\n<think>\n"),
    "Qwen3-Coder": _QWEN_CODER,
    "Llama 3.1": _LLAMA_TOOLS,
    "Mistral 7B v0.3": _MISTRAL_LIST,
    "Mistral Small 3.2": _MISTRAL_NAMED,
    "DeepSeek V3": _DEEPSEEK_FENCED,
    "DeepSeek V3.1": _DEEPSEEK,
    "gpt-oss": _HARMONY,
}
"""Templates that know tools, by the models whose form of calls and results they write."""
