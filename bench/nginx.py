"""nginx as an upstream without latency."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

CONFIG = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/nginx-body;
  client_max_body_size 64m;
  server {{ listen 127.0.0.1:{port}; default_type application/json;
    location /v1/models {{ return 200 '{models}'; }}
    location /long/models {{ return 200 '{models}'; }}
    location /long {{ return 200 '{long}'; }}
    location / {{ return 200 '{short}'; }} }} }}"""


def is_installed() -> bool:
    """Return whether nginx is installed on this machine."""
    return shutil.which("nginx") is not None


@contextmanager
def running(folder: Path, model: str) -> Iterator[str]:
    """Run nginx and yield its base URL. With `/long` instead of `/v1`, responses have 4 KiB."""
    models = {"object": "list", "data": [{"id": model, "object": "model", "created": 1, "owned_by": "mock"}]}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    config = folder / "nginx.conf"
    answers = {"models": json.dumps(models), "short": _answer(model, "hello"), "long": _answer(model, "x" * 3800)}
    config.write_text(CONFIG.format(folder=folder, port=port, **answers))
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait_for(f"{url}/models")
        yield url
    finally:
        process.terminate()
        process.wait()


def _answer(model: str, content: str) -> str:
    message = {"role": "assistant", "content": content}
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return json.dumps(answer)


def _wait_for(url: str) -> None:
    for _ in range(500):
        try:
            requests.get(url, timeout=1)
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    sys.exit(f"nginx did not answer at {url} within 10 seconds")
