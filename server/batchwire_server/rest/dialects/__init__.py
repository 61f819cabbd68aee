"""The dialects that the gateway speaks: one module each. The base URL is all that a caller changes, so its prefix picks the dialect."""

from batchwire_server.rest.dialects.base import Dialect as Dialect
from batchwire_server.rest.dialects.openai import OPENAI as OPENAI

DIALECTS = (OPENAI,)
