"""The Batchwire server: an OpenAI-compatible Batch API over gRPC and REST."""
