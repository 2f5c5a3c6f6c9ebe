"""What it costs to mark each call of an estimator for the supervisor."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator

from bench.context import Context
from bench.errors import BenchError
from bench.rows import SPECS, Row
from bench.servers import ROOT

# As Replica.predict marks a call, by the same without; in a process of its own, as a worker is.
MARK = """
import json, timeit
from server.learning.budgets.call_marks import CODE, PREDICT, code_of, local, serials

class Replica:
    asked = code_of(5, PREDICT)

    def plain(self):
        pass

    def marked(self):
        words = local.words
        words[CODE] = self.asked + next(serials)
        words[CODE] = 0

def seconds(call):
    return min(timeit.repeat(call, number=200_000, repeat=5)) / 200_000

one = Replica()
print(json.dumps({"marked": seconds(one.marked), "plain": seconds(one.plain)}))
"""


def marks(context: Context) -> Iterator[Row]:
    """Time a call that is marked and one that isn't, in turn."""
    samples = []
    for _ in range(context.rounds):
        done = subprocess.run([sys.executable, "-c", MARK], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"no call could be marked: {done.stderr.strip()[-500:]}")
        samples.append(json.loads(done.stdout))
        context.tick()
    cost = statistics.median(sample["marked"] - sample["plain"] for sample in samples)
    yield Row(SPECS["call-mark"], cost * 1e9, f"median of {len(samples)} processes", {"runs": samples})
