"""HTTP itself: middleware, request bodies, forms, ranges, metrics. Knows no protobuf."""
