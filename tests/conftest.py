"""Shared by all tests: property tests are the same in every run."""

from hypothesis import settings

settings.register_profile("cidery", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("cidery")
