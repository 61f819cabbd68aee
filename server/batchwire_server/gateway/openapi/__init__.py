"""The OpenAPI document, generated from the protocol's descriptors and the dialects."""
