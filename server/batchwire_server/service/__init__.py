"""The use cases of callers. They know no wire format."""
