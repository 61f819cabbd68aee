"""The dialects of the gateway, one module each. The prefix of a URL selects the dialect."""

from __future__ import annotations

from batchwire_server.gateway.dialects.azure import AZURE
from batchwire_server.gateway.dialects.cerebras import CEREBRAS
from batchwire_server.gateway.dialects.dialect import Dialect as Dialect
from batchwire_server.gateway.dialects.groq import GROQ
from batchwire_server.gateway.dialects.novita import NOVITA
from batchwire_server.gateway.dialects.openai import OPENAI as OPENAI
from batchwire_server.gateway.dialects.respan import RESPAN
from batchwire_server.gateway.dialects.siliconflow import SILICONFLOW

DIALECTS = (OPENAI, AZURE, GROQ, NOVITA, RESPAN, SILICONFLOW, CEREBRAS)
