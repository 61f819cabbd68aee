"""Groq: OpenAI's objects under Groq's path, for its SDK with the base URL `http://HOST/groq`.

With `http://HOST` as the base URL, Groq's SDK calls the paths of Novita's dialect.
"""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.transcoding.requests import RequestMapping

GROQ = replace(
    OPENAI,
    name="groq",
    path_prefixes={"/v1": "/groq/openai/v1"},
    request_mapping=RequestMapping(defaults={"CreateBatchRequest": {"require_input_file": True}}),
)
