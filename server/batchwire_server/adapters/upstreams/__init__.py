"""Upstreams: an OpenAI-compatible server over HTTP, and the built-in echo."""
