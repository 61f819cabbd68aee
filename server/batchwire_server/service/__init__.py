"""The use cases: what callers can have done, whatever they call through."""
