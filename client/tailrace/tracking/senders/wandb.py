"""`WandbSender`: writes lines to Weights & Biases, online or into an offline directory, by the library ``wandb``."""

from __future__ import annotations

import glob
import os
import shutil
import time
from typing import Any

from tailrace.errors import TailraceError, Unreachable
from tailrace.optional_dependencies import require
from tailrace.tracking.files import ArtifactLost, sha256_of
from tailrace.tracking.senders.base import Sender, Sent, Upload
from tailrace.tracking.senders.flat_lines import flat_line

__all__ = ["STEP", "WandbSender"]

STEP = "tailrace/step"
"""The step of a point. W&B's own steps must grow, and points of a training may come late or twice at one step."""

TIME = "tailrace/time_ms"
AT_ONCE, PAUSE = 20, 0.0005


class WandbSender(Sender):
    """Writes to W&B.

    W&B's library keeps what it has not sent in memory and in its own files, and loses the end of them if the process is
    killed. So nothing counts as sent before its end: after a crash, an offline run is written again from the first line, in
    place of the broken directory, and an online run goes on after the last row that the service has.
    """

    most_lines = 1000

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._run: Any = None
        self._skip = 0

    def start(self) -> None:
        wandb = require("wandb")
        options = self.backend.options
        offline = options["mode"] == "offline"
        if offline and not self.fresh and not self.state.get("finished"):
            self._discard()
        uid, writer = self.header["uid"], self.header["writer"]
        identifier = uid if self.header.get("main") else f"{uid}-{writer}"[:64]
        try:
            self._run = wandb.init(
                id=identifier, name=self.header.get("name") or None, group=uid, project=options["project"],
                entity=options["entity"] or None, mode=options["mode"], dir=options["dir"], reinit="create_new",
                resume=None if offline else "allow", settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, init_timeout=60),
            )  # fmt: skip
        except Exception as error:
            raise Unreachable(f"W&B can't be used now: {error}") from None
        if offline:
            self.state["directory"] = os.path.dirname(self._run.dir)
        else:
            self._skip = int(self._run.step or 0)
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric("*", step_metric=STEP)
        self._run.config.update({"tailrace.run": uid}, allow_val_change=True)

    def send(self, first: int, lines: list[bytes]) -> Sent:
        sent = Sent(first + len(lines))
        for number, line in enumerate(lines, 1):
            if number % AT_ONCE == 0:
                time.sleep(PAUSE)
            try:
                self._write(line, sent)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                sent.refused.append(f"line {first + number - 1}: {error}")
            except ArtifactLost as error:
                sent.refused.append(str(error))
            except Exception as error:
                raise TailraceError(f"W&B's library failed: {type(error).__name__}: {error}") from None
        return sent

    def upload(self, one: Upload) -> bool:
        artifact = require("wandb").Artifact(f"run-{self.header['uid']}-{one.sha256[:8]}", type="file")
        artifact.add_file(one.source, name=one.path)
        self._run.log_artifact(artifact)
        return True

    def finish(self) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if self.state.get("status", "FINISHED") == "FINISHED" else 1)
            self.state["finished"] = True
            self._run = None

    def where(self) -> str:
        return str(self.state.get("directory") or getattr(self._run, "url", "") or "")

    def _write(self, line: bytes, sent: Sent) -> None:
        flat = flat_line(line)
        if flat.points:
            if self._skip > 0:
                self._skip -= 1  # the service has this row from before the crash
            else:
                one = flat.points[0]
                row: dict[str, Any] = {point.key: point.value for point in flat.points}
                self._run.log({**row, STEP: one.step, TIME: one.time_ms})
        if words := [key for key, value in flat.tags.items() if value == "true" and len(key) <= 64]:
            self._run.tags = tuple(dict.fromkeys([*(self._run.tags or ()), *words]))
        if flat.params or flat.tags:
            self._run.config.update({**flat.params, **flat.tags}, allow_val_change=True)
        if flat.status:
            self.state["status"] = flat.status
        if flat.artifact is not None:
            found = flat.artifact
            digest = sha256_of(found["source"], found["size"], found["changed_ns"])
            sent.uploads.append(Upload(found["path"], found["source"], found["size"], digest))

    def _discard(self) -> None:
        """Delete the directory that a killed process left, which lacks its end, and begin again."""
        place = self.state.pop("directory", "")
        if place and glob.glob(os.path.join(glob.escape(place), "run-*.wandb")):
            shutil.rmtree(place, ignore_errors=True)
