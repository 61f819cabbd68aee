"""The gRPC server: the services of the protocol, each over its use cases."""
