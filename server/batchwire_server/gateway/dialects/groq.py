"""Groq: OpenAI's objects under Groq's path, for its SDK with `/groq` as its base URL. On the bare host its paths are Novita's."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.transcoding.requests import Reading

GROQ = replace(
    OPENAI,
    name="groq",
    spellings={"/v1": "/groq/openai/v1"},
    reading=Reading(defaults={"CreateBatchRequest": {"require_input_file": True}}),
)
