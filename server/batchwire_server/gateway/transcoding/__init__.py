"""Transcoding of JSON, forms and query parameters to protobuf messages, and back."""
