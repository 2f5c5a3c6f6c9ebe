"""An estimator that does harm where its input says so: trusted by the servers of the tests, and by no other."""

import contextlib
import ctypes
import os
import re

from river import base

HANG = "(a+)+$"
"""A pattern that takes for ever on :data:`LONG`, with the interpreter's lock held."""

LONG = "a" * 60 + "!"


def harm(how):
    """Hang, crash or eat memory."""
    if how == "loop":
        while True:
            pass
    elif how == "hold the lock":
        re.match(HANG, LONG)
    elif how == "abort":
        os.abort()
    elif how == "crash":
        ctypes.string_at(0)
    elif how == "recurse":
        nested = ()
        for _ in range(2_000_000):
            nested = (nested,)
        hash(nested)
    elif how == "eat":
        kept = []
        while True:
            kept.append(b"x" * (16 * 2**20))


class Harmful(base.Regressor):
    """Predicts the mean, unless ``x`` has a feature ``learn`` or ``predict`` that names a harm."""

    def __init__(self):
        self.n = 0
        self.mean = 0.0

    def predict_one(self, x):
        harm(x.get("predict"))
        return self.mean

    def learn_one(self, x, y):
        harm(x.get("learn"))
        for _ in range(int(x.get("work", 0))):
            with contextlib.suppress(ValueError):
                int("x")
        self.n += 1
        self.mean += (y - self.mean) / self.n
