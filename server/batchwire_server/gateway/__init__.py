"""The REST gateway. A gRPC client, which knows the server's protocol and nothing else of it."""
