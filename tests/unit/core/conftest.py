"""The rules of the core are pure, so that hypothesis may ask them anything; how long it takes is no matter."""

from hypothesis import settings

settings.register_profile("batchwire", deadline=None, max_examples=60)
settings.load_profile("batchwire")
