"""Which function measures which rows, and roughly how many steps it takes."""

import dataclasses
from collections.abc import Callable, Iterator

from bench import (
    rows_agents,
    rows_auth,
    rows_backup,
    rows_bonds,
    rows_budgets,
    rows_bulk,
    rows_calculations,
    rows_client,
    rows_container,
    rows_ingest_bonds,
    rows_instances,
    rows_job_log,
    rows_labels,
    rows_log,
    rows_long,
    rows_many_points,
    rows_memory,
    rows_million_bonds,
    rows_mlflow,
    rows_pages,
    rows_pinning,
    rows_predict_bonds,
    rows_records,
    rows_requests,
    rows_slow_disk,
    rows_tracking,
    rows_training,
)
from bench.context import Context
from bench.rows import Row


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that are measured together.

    Parameters
    ----------
    rows
        Their names.
    measure
        Yields those of them that the context wants.
    steps
        How often it ticks, from the wanted rows and the rounds.
    """

    rows: tuple[str, ...]
    measure: Callable[[Context], Iterator[Row]]
    steps: Callable[[Context, int], int]


def _rounds(context: Context) -> int:
    return context.rounds + 1  # and one to warm up


GROUPS = (
    Group(("learn-gunicorn", "learn-granian"), rows_requests.learn, lambda c, n: (1 + n) * _rounds(c)),
    Group(
        ("one-stream-gunicorn", "eight-streams-gunicorn", "one-stream-granian", "eight-streams-granian", "lost"),
        rows_requests.two_workers,
        lambda c, n: 2 * max(1, n - ("lost" in c.wanted)) * _rounds(c),
    ),
    Group(("predict-gunicorn", "predict-granian"), rows_requests.predict, lambda c, n: (1 + n) * _rounds(c)),
    Group(("keep-gunicorn", "keep-granian"), rows_requests.keep, lambda c, n: (1 + n) * _rounds(c)),
    Group(("track-gunicorn", "track-granian"), rows_requests.track, lambda c, n: (1 + n) * _rounds(c)),
    Group(("label-gunicorn", "label-granian"), rows_requests.late_label, lambda c, n: (1 + n) * _rounds(c)),
    Group(
        ("slow-learn-gunicorn", "slow-learn-granian", "slow-keep-gunicorn", "slow-keep-granian"),
        rows_slow_disk.slow_disk,
        lambda c, n: n * _rounds(c),
    ),
    Group(("predict-million", "predict-million-memory"), rows_many_points.many_points, lambda c, n: 1),
    Group(("auth-learn-gunicorn", "auth-learn-granian"), rows_auth.learn, lambda c, n: 2 * n * _rounds(c)),
    Group(("auth-predict-gunicorn", "auth-predict-granian"), rows_auth.predict, lambda c, n: 2 * n * _rounds(c)),
    Group(("call-mark",), rows_budgets.marks, lambda c, n: c.rounds),
    Group(("latency-gunicorn", "latency-granian"), rows_requests.latency, lambda c, n: 2 * n * _rounds(c)),
    Group(("two-servers", "four-servers"), rows_instances.several_servers, lambda c, n: 3 * _rounds(c)),
    Group(("bulk-sqlite", "bulk-postgresql"), rows_bulk.bulk_learning, lambda c, n: (1 + n) * _rounds(c)),
    Group(
        ("replay", "backfill", "long-learn", "long-bulk", "long-start"),
        rows_long.long_stream,
        lambda c, n: rows_long.steps(c),
    ),
    Group(("backup", "restore", "backup-memory"), rows_backup.backups, lambda c, n: rows_backup.steps(c)),
    Group(("post", "post-bare", "post-refused"), rows_client.posting, lambda c, n: 1),
    Group(("tracking-call", "tracking-import"), rows_training.tracking, lambda c, n: c.rounds),
    Group(("flush",), rows_client.flushing, lambda c, n: min(3, c.rounds)),
    Group(tuple(rows_calculations.ROWS), rows_calculations.calculations, lambda c, n: 2),
    Group(tuple(rows_tracking.ROWS), rows_tracking.lists, lambda c, n: 2),
    Group(rows_agents.ROWS, rows_agents.agents, lambda c, n: 3),
    Group(("job-log",), rows_job_log.job_log, lambda c, n: rows_job_log.ROUNDS),
    Group(("log", "log-memory"), rows_log.log, lambda c, n: c.rounds),
    Group(("pinning-learn", "pinning-predict"), rows_pinning.pinning, lambda c, n: 2 * c.rounds),
    Group(
        ("bonds-deformations", "bonds-coverage", "bonds-split", "bonds-split-paper", "bonds-cell"),
        rows_bonds.accuracy,
        lambda c, n: 3,
    ),
    Group(("bonds-learn-one", "bonds-learn-many"), rows_bonds.learning, lambda c, n: _rounds(c)),
    Group(
        ("cells-coverage", "cells-coverage-memory", "campaign-decision", "campaign-decision-memory"),
        rows_million_bonds.decisions,
        lambda c, n: 8,
    ),
    Group(("bonds-ingest",), rows_ingest_bonds.ingesting, lambda c, n: _rounds(c)),
    Group(("labels",), rows_labels.labels, lambda c, n: 1),
    Group(
        ("bonds-predict", "bonds-predict-memory", "bonds-predict-linear", "bonds-predict-loop"),
        rows_predict_bonds.predicting,
        lambda c, n: min(3, c.rounds) + 2,
    ),
    Group(
        (
            "records-learn-linear",
            "records-size-linear",
            "records-catch-up-linear",
            "records-learn-runtime",
            "records-size-runtime",
            "records-catch-up-runtime",
            "records-range",
            "records-range-segment",
        ),
        rows_records.records,
        lambda c, n: rows_records.steps(c),
    ),
    Group(("pages-overview",), rows_pages.overview, lambda c, n: 1),
    Group(rows_pages.LONG_ROWS, rows_pages.long_stream, lambda c, n: 2),
    Group(("pages-repaint",), rows_pages.repaint, lambda c, n: 1),
    Group(("records-predict", "pages-learn"), rows_pages.open_pages, lambda c, n: rows_pages.steps(c)),
    Group(("container-start",), rows_container.starting, lambda c, n: c.rounds),
    Group(rows_mlflow.ROWS, rows_mlflow.tracking, lambda c, n: _rounds(c)),
    Group(("models", "scrape"), rows_memory.models, lambda c, n: 10),
)
