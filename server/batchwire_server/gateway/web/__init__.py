"""HTTP: middleware, request bodies, forms, ranges, metrics. No protobuf, no gRPC."""
