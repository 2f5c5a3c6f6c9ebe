"""A server that speaks the agents' part of the contract, in this process: for faults that a real server does not make."""

import hashlib
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FINAL = ("done", "unconverged", "failed", "cancelled")


class ContractServer:
    def __init__(self):
        self.steps, self.claims, self.files, self.observations = {}, {}, {}, []
        self.epoch, self.interval, self.state, self.agents = 0, 0.3, "enabled", []
        self.messages, self.down, self.requests, self.clean, self.raw_work = [], False, [], [], []
        self.model, self.asked, self.cleaned = None, [], set()
        self.lock = threading.RLock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if owner.down:
                    self.close_connection = True
                    return
                with owner.lock:
                    status, answer = owner.answer(self.command, self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def add(self, parents=(), program="small", analyses=(), limit=None, **parameters):
        step = uuid.uuid4().hex[:12]
        self.steps[step] = {
            "step": step, "fence": 0, "attempt": 1, "name": step, "calculation": "1", "program": program,
            "parameters": parameters, "structure": None, "parents": list(parents), "analyses": list(analyses),
            "resources": {"nodes": 1, "processes": 1, "seconds": limit}, "corrections": {}, "state": "ready", "log": b"", "log_next": 0,
            "cancel": False, "history": [], "results": [], "claim": None,
        }  # fmt: skip
        return step

    def move(self, one, state):
        if one["state"] != state:
            one["state"] = state
            one["history"].append(state)

    def answer(self, method, path, body):
        split = urlsplit(path)
        parts = split.path.strip("/").split("/")[2:]
        query = {name: some[0] for name, some in parse_qs(split.query).items()}
        self.requests.append((method, split.path))
        if parts[0] == "streams":
            said = json.loads(body)
            some = said.get("observations", [said])
            for one in some:
                if not any(one["key"] == known["key"] for known in self.observations):
                    self.observations.append(one)
            return 201, {"first": 1, "last": 1, "accepted": len(some), "duplicates": 0, "models": {}}
        if parts[0] == "models":
            self.asked.append(json.loads(body))
            return self.model or (404, error("not_found", "there is no such model"))
        if parts[:2] == ["agent", "register"]:
            said = json.loads(body)
            self.epoch += 1
            self.agents.append(said)
            held = {(one["step"], one["fence"]) for one in said["holdings"]}
            for one in self.steps.values():
                if one["state"] == "claimed" and (one["step"], one["fence"]) not in held:
                    self.move(one, "ready")
            return 200, {"cluster": "c", "epoch": self.epoch, "interval": self.interval, "time": 0, "settings": {}}
        if parts[:2] == ["agent", "sync"]:
            return self.sync(json.loads(body))
        step, what = self.steps.get(parts[2]), parts[3]
        if step is None:
            return 404, error("not_found", f"there is no step {parts[2]}")
        return getattr(self, "put_file" if what == "files" else what)(step, query, body, parts[4:])

    def sync(self, said):
        if said["epoch"] != self.epoch:
            return 409, error("superseded", "a newer session")
        self.messages += said["messages"]
        self.cleaned |= {one["step"] for one in said["steps"] if one["state"] == "cleaned"}
        for one in said["steps"]:
            step = self.steps.get(one["step"])
            current = step and step["fence"] == one["fence"] and step["state"] not in FINAL
            if current and one["state"] in ("queued", "running", "settling"):
                self.move(step, one["state"])
        work = []
        if said["claim"] and self.state == "enabled":
            if said["claim"] not in self.claims:
                ready = [one for one in self.steps.values() if one["state"] == "ready" and self.may_start(one)]
                for one in ready[: said["free"]]:
                    one["fence"] += 1
                    self.move(one, "claimed")
                self.claims[said["claim"]] = [(one["step"], one["fence"]) for one in ready[: said["free"]]]
            work = [self.described(self.steps[step]) for step, _ in self.claims[said["claim"]]]
        work += self.raw_work
        cancel = [
            {"step": one["step"], "fence": one["fence"]}
            for one in self.steps.values()
            if one["cancel"] and one["state"] not in FINAL
        ]
        accepted = [{"step": one["step"], "fence": one["fence"], "state": one["state"]} for one in said["steps"]]
        return 200, {
            "epoch": self.epoch, "interval": self.interval, "time": 0, "state": self.state, "work": work, "cancel": cancel,
            "clean": self.clean, "accepted": accepted, "settings": {"log_limit": 1000, "file_limit": 10000},
        }  # fmt: skip

    def may_start(self, one):
        return all(self.steps[parent]["state"] == "done" for parent in one["parents"])

    def described(self, one):
        parents = [
            {
                "name": parent, "step": parent, "fence": self.steps[parent]["fence"], "parameters": {},
                "results": {name: self.steps[parent]["results"][-1][name] for name in ("values", "tables")},
            }
            for parent in one["parents"]
        ]  # fmt: skip
        names = ("step", "fence", "attempt", "name", "calculation", "program", "parameters", "structure", "analyses")
        return {**{name: one[name] for name in names}, "parents": parents, "resources": one["resources"],
                "corrections": one["corrections"], "folder_key": one["step"]}  # fmt: skip

    def permit(self, step, query, body, rest):
        said = json.loads(body)
        if said["epoch"] != self.epoch or said["fence"] != step["fence"] or step["cancel"]:
            return 409, error("superseded", "it was superseded")
        step["walltime"], step["version"] = said.get("walltime"), said.get("version")
        if step["state"] == "claimed":
            self.move(step, "permitted")
        return 200, {"permitted": True}

    def results(self, step, query, body, rest):
        said = json.loads(body)
        first = not any(one["fence"] == said["fence"] for one in step["results"])
        if first:
            step["results"].append(said)
            self.move(step, said["state"])
            if said["next"] and step["attempt"] < 5:
                step["attempt"] += 1
                step["corrections"] = said["next"]["corrections"]
                self.move(step, "ready")
        declared = [*said["files"], *(file for one in said["analyses"] for file in one["files"])]
        missing = [one["sha256"] for one in declared if one["sha256"] not in self.files]
        return 200, {"accepted": True, "first": first, "state": step["state"], "missing": missing}

    def put_file(self, step, query, body, rest):
        self.files[hashlib.sha256(body).hexdigest()] = body
        return 200, {}

    def log(self, step, query, body, rest):
        offset = int(query["offset"])
        if int(query.get("after", offset)) != step["log_next"]:
            return 409, {**error("offset", "another offset"), "next": step["log_next"]}
        if "after" in query:  # half of log_limit is the beginning; the end begins anew
            step["log"] = step["log"][:500]
        step["log"] += body
        step["log"] = step["log"][:500] + step["log"][500:][-500:]  # what lies between is dropped
        step["log_next"] = offset + len(body)
        return 200, {"next": step["log_next"]}


def error(code, message):
    return {"error": {"code": code, "message": message, "request_id": "1"}}
