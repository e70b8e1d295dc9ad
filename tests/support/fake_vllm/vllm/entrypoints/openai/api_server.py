"""Passes for vLLM's server: what it does with its start and its life is FAKE_VLLM's to say.

Writes its process id, its command line and its key as JSON to the file FAKE_VLLM_NOTE.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

ask = sys.argv[1:]
behaviour = os.environ.get("FAKE_VLLM", "")
note = {"pid": os.getpid(), "argv": ask, "key": os.environ["VLLM_API_KEY"]}
Path(os.environ["FAKE_VLLM_NOTE"]).write_text(json.dumps(note))
if behaviour == "dies":
    print("(APIServer pid=1) WARNING few files: errors like `OSError: [Errno 24] Too many`")
    print("\x1b[31mValueError: no room\x1b[0m for the KV cache\nRuntimeError: later", flush=True)
    sys.exit(1)
if behaviour == "hangs":
    print("Loading weights", flush=True)
    time.sleep(600)

from support.mock_server import Body, MockServer  # noqa: E402
from support.towns import reply_continued  # noqa: E402


def option(name: str) -> str:
    return ask[ask.index(name) + 1] if name in ask else ""


def reply(body: Body) -> str:
    if behaviour == "dies later" and len(server.generations()) == 9:
        print("RuntimeError: Engine core died", flush=True)
        os._exit(3)
    return reply_continued(body)


lora = option("--lora-modules")
names = (option("--served-model-name"), *([json.loads(lora)["name"]] if lora else []))
server = MockServer(reply, kind="vllm", models=names, port=int(option("--port")))
server.card = {"max_model_len": 2048}
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with server:
    signal.pause()
