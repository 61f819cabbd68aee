"""Handlers of methods: unary calls, uploads, downloads, streams."""
