"""Settings that every tier needs before torch is imported."""

import os

# tiny models: two threads that wait for each other are slower than one
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# a busy machine is no failure
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
