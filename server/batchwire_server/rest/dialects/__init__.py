"""The dialects that the gateway speaks: one module each. The base URL is all that a caller changes, so its prefix picks the dialect."""

from .base import Dialect as Dialect
from .openai import OPENAI as OPENAI

DIALECTS = (OPENAI,)
