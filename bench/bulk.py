"""Many points a request: bodies made beforehand, sent from a process of their own.

``python -m bench.bulk URL STREAM POINTS REQUESTS CONNECTIONS SEED SEGMENTS`` posts REQUESTS bodies of POINTS observations to the
native API and prints one JSON object. With SEGMENTS, each has a feature ``kind`` of so many values. A fixed number of requests, not seconds, so that the stream's length is known.
"""

import http.client
import json
import queue
import random
import subprocess
import sys
import threading
import time
import urllib.parse

import orjson

from bench.errors import BenchError
from bench.load import Sample
from bench.loop import points
from bench.servers import ROOT

CONNECTIONS = 8


def bodies(per_request: int, requests: int, seed: int, segments: int = 0) -> list[bytes]:
    """Request bodies of the native API, every observation a different one."""
    draw = random.Random(seed).randrange
    made = [
        {"x": {**x, "kind": draw(segments)} if segments else x, "y": y} for x, y in points(per_request * requests, seed)
    ]
    return [orjson.dumps({"observations": made[low : low + per_request]}) for low in range(0, len(made), per_request)]


def send(url: str, stream: str, ready: list[bytes], connections: int) -> Sample:
    """Post all bodies over some kept-alive connections; ``requests`` counts observations here."""
    address = urllib.parse.urlsplit(url)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in ready:
        waiting.put(body)
    latencies: list[float] = []
    accepted: list[int] = []

    def work() -> None:
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        while True:
            try:
                body = waiting.get_nowait()
            except queue.Empty:
                return
            began = time.perf_counter()
            connection.request(
                "POST", f"/api/v1/streams/{stream}/observations/", body, {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            text = answer.read()
            latencies.append(1e3 * (time.perf_counter() - began))
            if answer.status != 201:
                sys.exit(f"{url}/api/v1/streams/{stream}/observations/ answered {answer.status}: {text[:500]!r}")
            accepted.append(orjson.loads(text)["accepted"])

    threads = [threading.Thread(target=work) for _ in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    p50, p90, p99 = (_quantile(latencies, share) for share in (0.5, 0.9, 0.99))
    return Sample(sum(accepted), took, p50, p90, p99, failures=len(ready) - len(accepted))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


def measure(
    url: str,
    stream: str,
    per_request: int,
    requests: int,
    seed: int,
    connections: int = CONNECTIONS,
    *,
    segments: int = 0,
) -> Sample:
    """Send from a new process.

    Raises
    ------
    BenchError
        If an answer is not 201, or acknowledges less than was sent.
    """
    command = [
        sys.executable, "-m", "bench.bulk", url, stream,
        *map(str, (per_request, requests, connections, seed, segments)),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"bulk load failed: {done.stderr.strip()[-800:]}")
    sample = Sample(**json.loads(done.stdout))
    if sample.failures or sample.requests != per_request * requests:
        raise BenchError(f"{per_request * requests} observations sent to {stream}, {sample.requests} acknowledged")
    return sample


if __name__ == "__main__":
    import dataclasses

    target, name, *numbers = sys.argv[1:]
    size, count, lanes, first, kinds = map(int, numbers)
    print(json.dumps(dataclasses.asdict(send(target, name, bodies(size, count, first, kinds), lanes))))
