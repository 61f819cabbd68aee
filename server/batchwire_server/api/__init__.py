"""The gRPC face: the generated protocol in front of the use cases."""
