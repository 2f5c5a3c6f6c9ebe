"""The rows of the table: what each one measures and what it must reach."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Spec:
    """One row before it is measured.

    Parameters
    ----------
    name
        What ``--only`` takes.
    what
        What is measured, for the table.
    unit
        Of the value and of the target: ``×`` and ``%`` are ratios of rates measured in turn in the same run.
    target
        The value to reach.
    better
        Whether the value must be at least or at most the target.
    """

    name: str
    what: str
    unit: str
    target: float
    better: Literal["more", "less"] = "more"

    @property
    def target_text(self) -> str:
        return f"{'≥' if self.better == 'more' else '≤'} {self.target:g} {self.unit}"


@dataclasses.dataclass
class Row:
    """One measured row.

    Parameters
    ----------
    spec
        What it is.
    value
        The figure, or None where ``error`` says why there is none.
    note
        What the ratio was made of, for a reader.
    samples
        Every raw measurement behind it, by system.
    error
        Why it could not be measured.
    """

    spec: Spec
    value: float | None = None
    note: str = ""
    samples: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the target is reached, in the two decimals that are printed."""
        if self.value is None:
            return False
        value = round(self.value, 2)
        return value >= self.spec.target if self.spec.better == "more" else value <= self.spec.target

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.spec.name, "what": self.spec.what, "value": self.value, "unit": self.spec.unit,
            "target": self.spec.target, "better": self.spec.better, "ok": self.ok, "note": self.note,
            "error": self.error, "samples": self.samples,
        }  # fmt: skip


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of neighbours: measured in turn, both saw the same machine."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


SPECS = {
    spec.name: spec
    for spec in (
        Spec("learn-gunicorn", "learn, 1 point a request, 16 connections, durable, by the peer", "×", 3.5),
        Spec("learn-granian", "the same on granian", "×", 6),
        Spec("one-stream-gunicorn", "learn with 2 workers into 1 stream, by 1 worker", "×", 1),
        Spec("eight-streams-gunicorn", "learn with 2 workers into 8 streams, by 1 worker into 8", "×", 1),
        Spec("one-stream-granian", "2 workers into 1 stream on granian", "×", 1),
        Spec("eight-streams-granian", "2 workers into 8 streams on granian", "×", 1),
        Spec("lost", "acknowledged points that the logs lack", "points", 0, "less"),
        Spec("predict-gunicorn", "predict, no identifier, 16 connections, 2 workers, by the peer", "×", 8),
        Spec("predict-granian", "the same on granian", "×", 16),
        Spec(
            "keep-gunicorn",
            "predict as the published client asks: kept, 16 connections, 2 workers, by the peer",
            "×",
            8,
        ),
        Spec("keep-granian", "the same on granian", "×", 12),
        Spec("track-gunicorn", "the same by the native address, by the peer's", "×", 8),
        Spec("track-granian", "the same on granian", "×", 12),
        Spec("label-gunicorn", "kept predictions and their labels in turn, 2 workers, by the peer", "×", 4),
        Spec("label-granian", "the same on granian", "×", 4),
        Spec("slow-learn-gunicorn", "learn, 64 connections, flushes of 4 ms", "/s", 2500),
        Spec("slow-learn-granian", "the same on granian", "/s", 2500),
        Spec("slow-keep-gunicorn", "kept predictions, 64 connections, flushes of 4 ms", "/s", 2500),
        Spec("slow-keep-granian", "the same on granian", "/s", 2500),
        Spec(
            "predict-million",
            "1,000,000 points of `runtime` from a DataFrame, by the client, 1 worker",
            "s",
            20,
            "less",
        ),
        Spec("predict-million-memory", "there, peak memory of client or server", "MB", 300, "less"),
        Spec("auth-learn-gunicorn", "learn with a token, by the same with AUTH=open", "%", 90),
        Spec("auth-learn-granian", "the same on granian", "%", 90),
        Spec("auth-predict-gunicorn", "predict with a token, 2 workers, by the same with AUTH=open", "%", 90),
        Spec("auth-predict-granian", "the same on granian", "%", 90),
        Spec("latency-gunicorn", "predict, 1 connection, median latency by a bare Django view's", "×", 2, "less"),
        Spec("latency-granian", "the same on granian", "×", 2, "less"),
        Spec("bulk-sqlite", "learn, 500 points a request, SQLite, by a bare river loop", "%", 70),
        Spec("bulk-postgresql", "learn, 500 points a request, PostgreSQL, by a bare river loop", "%", 40),
        Spec("replay", "replay of the log, by a bare river loop", "%", 80),
        Spec("backfill", "backfill of a new model, by a bare river loop", "%", 80),
        Spec("long-learn", "learn, 1 point a request, at 1,000,000 observations by at 10,000", "%", 90),
        Spec("long-bulk", "learn, 500 points a request, at 1,000,000 observations by at 10,000", "%", 90),
        Spec("long-start", "first predict after a start, stream of 1,000,000", "s", 2, "less"),
        Spec("backup", "backup of 1,000,000 observations, the slower of SQLite and PostgreSQL", "s", 60, "less"),
        Spec("restore", "its restore, the slower of PostgreSQL and SQLite", "s", 120, "less"),
        Spec("backup-memory", "peak memory of backup and restore by that for 10,000 observations", "×", 1.25, "less"),
        Spec("post", "tailrace post, cold process to exit, server on loopback", "ms", 150, "less"),
        Spec("post-bare", "the same by a bare Python process with http.client", "×", 2.5, "less"),
        Spec("post-refused", "the same with nobody listening: kept on disk", "ms", 250, "less"),
        Spec("flush", "tailrace flush, 10,000 spooled observations", "/s", 5000),
        Spec("tracking-call", "log_metrics of 3 metrics, 2 back ends that do not answer, mean", "µs", 20, "less"),
        Spec("tracking-import", "import of the names of tailrace.tracking, beyond the interpreter", "ms", 30, "less"),
        Spec("call-mark", "marking a call of an estimator for the supervisor", "ns", 200, "less"),
        Spec("log", "reading a LAMMPS log of 100 MB", "MB/s", 100),
        Spec("log-memory", "its peak memory", "MB", 50, "less"),
        Spec(
            "bonds-deformations",
            "bond strengths, 7 cells learned, 3 others tested: RMSE of the worst type by batch GPR's",
            "%",
            105,
            "less",
        ),
        Spec("bonds-coverage", "there, of the 95 % interval: how far from 94 %", "%", 4, "less"),
        Spec(
            "bonds-split",
            "bond strengths, 2000 at random learned, the rest tested: RMSE of the worst type by batch GPR's",
            "%",
            105,
            "less",
        ),
        Spec("bonds-split-paper", "there, RMSE of Zr-Cu, Zr-Zr and Cu-Cu by the paper's, the worst", "%", 100, "less"),
        Spec(
            "bonds-cell",
            "bond strengths, 10 cells learned, another composition tested: RMSE of the worst type by batch GPR's",
            "%",
            100,
            "less",
        ),
        Spec(
            "pinning-learn",
            "bond-gpr, learn_many of 600 bonds with the pinned kernel, by the CPU's own",
            "×",
            1.5,
            "less",
        ),
        Spec("pinning-predict", "there, predict of the bonds of 10,000 atoms", "×", 1.5, "less"),
        Spec("bonds-learn-one", "bond-gpr, learn_one at 384 features", "µs", 250, "less"),
        Spec("bonds-learn-many", "bond-gpr, learn_many of a cell's bonds, by one after the other", "×", 3),
        Spec(
            "bonds-ingest",
            "bonds ingest of a labeled 100-atom cell, 3 models on the stream: read to acknowledged",
            "s",
            1.5,
            "less",
        ),
        Spec(
            "labels",
            "GFN1-xTB labels against DFT's, one reference cell: correlation, least of all bond types",
            "r",
            0.82,
        ),
        Spec("bonds-predict", "bond strengths of a 10,000-atom cell, file to file, SOAP included", "s", 30, "less"),
        Spec("bonds-predict-memory", "its peak memory", "MB", 2000, "less"),
        Spec("bonds-predict-linear", "time an atom of 100,000 atoms by that of 10,000", "×", 1.2, "less"),
        Spec("bonds-predict-loop", "a Python loop over 600 training bonds for each bond, by it", "×", 100),
        Spec("two-servers", "learn by 2 servers on one PostgreSQL, 8 streams, 4 to each, by 1 server", "×", 1.5),
        Spec("four-servers", "learn by 4 servers, 2 streams to each, by 1 server", "×", 1.5),
        Spec(
            "records-learn-linear",
            "learn, 500 points a request, 2 workers, `linear`, with records by TAILRACE_RECORDS=false",
            "%",
            95,
        ),
        Spec("records-size-linear", "its record, an observation", "bytes", 40, "less"),
        Spec("records-catch-up-linear", "1,000,000 observations recorded afterwards", "s", 60, "less"),
        Spec("records-learn-runtime", "the same with `runtime`", "%", 95),
        Spec("records-size-runtime", "its record, an observation", "bytes", 40, "less"),
        Spec("records-catch-up-runtime", "100,000 observations recorded afterwards", "s", 240, "less"),
        Spec(
            "records-range",
            "any range of a record of 1,000,000 at 2,000 buckets, over HTTP, the slowest",
            "ms",
            100,
            "less",
        ),
        Spec("records-range-segment", "the same, one of 20 segments", "ms", 100, "less"),
        Spec("records-predict", "predict with records, 2 workers, by TAILRACE_RECORDS=false", "%", 95),
        Spec("calc-sync", "sync of an agent, 100,000 steps wait, median", "ms", 20, "less"),
        Spec("calc-claim", "the same, and 10 steps are claimed", "ms", 20, "less"),
        Spec("calc-agents", "100 agents that sync each 20 s, share of a CPU of the server", "%", 2, "less"),
        Spec("cells-coverage", "coverage by families of 1,000 cells, 1,000,000 bonds", "s", 10, "less"),
        Spec("cells-coverage-memory", "its peak memory", "MB", 1000, "less"),
        Spec("campaign-decision", "a campaign's decision over 1,000 cells, 1,000,000 bonds", "s", 10, "less"),
        Spec("campaign-decision-memory", "its peak memory", "MB", 1000, "less"),
        Spec("calc-list", "list of 100,000 calculations, a page in the middle, median", "ms", 150, "less"),
        Spec("calc-list-state", "the same, of one state", "ms", 150, "less"),
        Spec("calc-list-text", "the same, whose names contain a text", "ms", 150, "less"),
        Spec("tracking-list", "list of 10,000 runs with 50 columns, median", "ms", 200, "less"),
        Spec("tracking-list-chosen", "the same, 25 chosen columns", "ms", 200, "less"),
        Spec("tracking-list-page", "its first page of 100 runs", "ms", 50, "less"),
        Spec("agent-memory", "memory of an agent at rest", "MB", 40, "less"),
        Spec("agent-cpu", "its share of a CPU", "%", 0.2, "less"),
        Spec("agent-busy-memory", "memory of an agent that watches 1,000 jobs", "MB", 40, "less"),
        Spec("agent-busy-cpu", "its share of a CPU", "%", 0.2, "less"),
        Spec("agent-start", "sync that hands out a step to start of its job, idle Slurm, median", "s", 1, "less"),
        Spec(
            "job-log",
            "a job's log of 1 GB, sent and shown while it grows: more memory than for 50 MB",
            "MB",
            20,
            "less",
        ),
        Spec("pages-overview", "overview of 1,000 models, median", "ms", 150, "less"),
        Spec("pages-stream", "page of a stream of 1,000,000 observations, median", "ms", 150, "less"),
        Spec("pages-model", "page of a model there", "ms", 150, "less"),
        Spec("pages-queries", "queries of these pages, the most", "queries", 30, "less"),
        Spec("pages-compare", "comparison of two models there, computed anew, median", "ms", 300, "less"),
        Spec("pages-segments", "its 500 segments at once, median", "ms", 300, "less"),
        Spec("pages-at-once", "50 pages and charts there, asked for at the same moment: the slowest", "s", 5, "less"),
        Spec("pages-repaint", "a chart of 100,000 points painted anew in Chromium, median", "ms", 50, "less"),
        Spec("pages-learn", "learn, 1 point a request, while 20 pages are open, by the same without", "%", 95),
        Spec("models", "resident memory of one process serving 1,000 small models", "MB", 400, "less"),
        Spec("container-start", "container start to ready, its database migrated", "s", 3, "less"),
        Spec("mlflow-one-by-one", "200 calls of the mlflow client one by one, by a real mlflow server", "×", 5),
        Spec("mlflow-batch", "a batch of 1,000 points by the mlflow client, by a real mlflow server", "×", 5),
        Spec("mlflow-memory", "memory of the server with tracking in use", "MB", 300, "less"),
        Spec("scrape", "GET /metrics of one process with 1,000 models, median", "ms", 100, "less"),
    )
}
