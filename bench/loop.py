"""The bare river loop that bulk learning is measured by: predict, three metrics, learn, in a process of its own.

``python -m bench.loop POINTS SEED`` prints the seconds that the loop took.
"""

import random
import subprocess
import sys
import time

from river import metrics

from bench.calls import estimator
from bench.errors import BenchError
from bench.servers import ROOT

Point = tuple[dict[str, float], float]


def points(count: int, seed: int) -> list[Point]:
    """Random points like those of the request rows: x, y, z from 1 to 64 and a noisy linear target."""
    generator = random.Random(seed)
    draw, noise = generator.randint, generator.random
    made: list[Point] = []
    for _ in range(count):
        x, y, z = draw(1, 64), draw(1, 64), draw(1, 64)
        made.append(({"x": x, "y": y, "z": z}, round(x + 2 * y + 3 * z + noise(), 6)))
    return made


def run(stream: list[Point]) -> float:
    """Fold the points as anyone would by hand; seconds that it took."""
    model = estimator()
    scores = (metrics.MAE(), metrics.RMSE(), metrics.SMAPE())
    started = time.perf_counter()
    for x, y in stream:
        prediction = model.predict_one(x)
        for score in scores:
            score.update(y, prediction)
        model.learn_one(x, y)
    return time.perf_counter() - started


def measure(count: int, seed: int) -> float:
    """Points a second of the loop, in a new process.

    Raises
    ------
    BenchError
        If the process fails.
    """
    command = [sys.executable, "-m", "bench.loop", str(count), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"the bare river loop failed: {done.stderr.strip()[-500:]}")
    return count / float(done.stdout)


if __name__ == "__main__":
    print(run(points(int(sys.argv[1]), int(sys.argv[2]))))
