"""The OpenAPI document, made from the protocol's descriptors."""
