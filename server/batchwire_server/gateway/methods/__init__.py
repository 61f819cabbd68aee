"""RPCs as HTTP calls: unary, uploads, downloads, streams."""
