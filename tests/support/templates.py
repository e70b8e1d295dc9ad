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
