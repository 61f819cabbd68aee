"""The dialects that the gateway speaks: one module each. The base URL is all that a caller changes, so its prefix picks the dialect."""

from batchwire_server.rest.dialects.azure import AZURE
from batchwire_server.rest.dialects.base import Dialect as Dialect
from batchwire_server.rest.dialects.cerebras import CEREBRAS
from batchwire_server.rest.dialects.groq import GROQ
from batchwire_server.rest.dialects.novita import NOVITA
from batchwire_server.rest.dialects.openai import OPENAI as OPENAI
from batchwire_server.rest.dialects.respan import RESPAN
from batchwire_server.rest.dialects.siliconflow import SILICONFLOW

DIALECTS = (OPENAI, AZURE, GROQ, NOVITA, RESPAN, SILICONFLOW, CEREBRAS)
