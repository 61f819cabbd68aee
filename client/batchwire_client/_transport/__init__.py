"""The transport: channel, calls, streams, uploads, retries of both clients."""
