"""The roles: each from settings to running and back."""
