"""Shared by all tests: property tests are the same in every run, and Ctrl-C reaches the commands that are started."""

import signal

from hypothesis import settings

settings.register_profile("cidery", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("cidery")

# A shell starts what runs in its background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
