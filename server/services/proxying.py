"""Requests to services: passed on to the agent that runs the container, within limits of size, time and number."""

import contextlib
import http.client
import json
import socket
import threading
from typing import NamedTuple
from urllib.parse import quote

from django.conf import settings

from server.core.errors import Conflict, Invalid, TailraceError, TooLarge, Unavailable
from server.core.slots import Slots
from server.core.validation import format_value
from server.services import addresses, services
from server.services.models import Service, ServiceAgent

LARGEST_BODY = 4 * 2**20
LARGEST_ANSWER = 16 * 2**20
CONTENT_TYPES = ("application/json", "application/jsonlines", "text/csv")


def _limits() -> tuple[int, int]:
    most = max(2, settings.TAILRACE.working_threads // 4)
    return most, max(1, most // 2)


PASSING = Slots(
    _limits,
    process_full="this process waits for {limit} services already, the most allowed at once; try again",
    caller_full="this token or person has {limit} requests to services under way in this process, the most allowed: wait until one has ended",
)
"""Requests that wait for a service. Most threads are left to other requests."""


class BadService(TailraceError):
    """The service answered nothing usable."""

    status = 502
    code = "bad_service"


class Answer(NamedTuple):
    """A service's answer."""

    status: int
    content_type: str
    content: bytes


def check_json(content: bytes) -> None:
    """Check that a body is JSON, before it is passed on.

    Raises
    ------
    Invalid
        If it isn't.
    """
    try:
        json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise Invalid(f"the body is not JSON: {format_value(str(exc)[:200])}", field="body", code="not_json") from exc


def invoke(name: str, content: bytes, content_type: str, key: int | None) -> Answer:
    """Pass a request on to ``/invocations`` of a healthy service.

    Parameters
    ----------
    key
        The caller, as for :class:`server.core.slots.Slots`.

    Raises
    ------
    NotFound
        If there is no such service.
    Conflict
        If it is stopped, or requests may not be sent to its agent.
    Unavailable
        If it isn't healthy, or its agent isn't in contact.
    TooLarge, TooMany
        If a limit is exceeded.
    BadService
        If there is no answer in time, or none that can be used.
    """
    if len(content) > LARGEST_BODY:
        raise TooLarge(f"the body has {len(content)} bytes: the most that is passed on to a service is {LARGEST_BODY}")
    service = services.find(name)
    agent = ServiceAgent.objects.filter(cluster=service.cluster_id).first()
    _check_usable(service, agent)
    assert agent is not None
    address = addresses.allowed(agent.address)
    with PASSING.held(key):
        return _sent(service.name, address, agent.secret, content, content_type)


def _check_usable(service: Service, agent: ServiceAgent | None) -> None:
    if service.wanted != Service.RUNNING:
        raise Conflict(f"service {service.name} is stopped: run it first", code="stopped")
    if services.contact(agent) != "ok":
        raise Unavailable(
            f"the model agent of cluster {service.cluster.name} is not in contact; service {service.name} can't be asked"
        )
    if service.state != "healthy":
        why = f": {service.reason}" if service.reason else ""
        raise Unavailable(f"service {service.name} is {service.state}{why}")


def _sent(name: str, address: addresses.Address, secret: str, content: bytes, content_type: str) -> Answer:
    seconds = settings.TAILRACE.service_seconds
    connection = http.client.HTTPConnection(address.host, address.port, timeout=seconds + 2)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": content_type, "X-Tailrace-Seconds": f"{seconds:g}"}
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds + 2, stop)  # the socket's limit is of each part: an answer by drops would never end
    timer.daemon = True
    try:
        connection.connect()
        sock = connection.sock
        timer.start()
        connection.request("POST", f"/services/{quote(name, safe='')}/invocations", content, headers)
        response = connection.getresponse()
        answer = response.read(LARGEST_ANSWER + 1)
    except (OSError, http.client.HTTPException) as exc:
        raise BadService(f"the agent of service {name} did not answer: {type(exc).__name__}") from exc
    finally:
        timer.cancel()
        connection.close()
    if is_late.is_set():
        raise BadService(f"the agent of service {name} did not answer within {seconds + 2:g} s")
    if len(answer) > LARGEST_ANSWER:
        raise BadService(f"the answer of service {name} is longer than {LARGEST_ANSWER} bytes")
    kind = response.headers.get_content_type()
    if response.headers.get("X-Tailrace-Agent") != "1":
        raise BadService(f"what answers at the address of service {name}'s agent is not a model agent")
    if response.status == 200 and kind in CONTENT_TYPES:
        return Answer(200, kind, answer)
    if response.status == 400:  # the container refuses the points
        return Answer(400, "application/json", answer)
    text = answer[:300].decode(errors="replace")
    raise BadService(f"service {name} answered {response.status} with {kind}: {text}")
