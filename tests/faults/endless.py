"""An estimator that never comes back from a point that says so, as one with a bug may do."""

import threading

from river import base


class Endless(base.Regressor):
    """Predicts how much it has learned."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, x, y):
        if x["endless"]:
            threading.Event().wait()
        self.learned += 1

    def predict_one(self, x):
        return self.learned
