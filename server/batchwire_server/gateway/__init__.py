"""The REST face: a transcoder that is only a gRPC client. It knows the protocol and a channel, nothing of the server."""
