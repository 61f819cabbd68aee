"""The worker: claims tasks and runs them."""
