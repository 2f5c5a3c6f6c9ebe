"""Prometheus's text format, written in a third of the time of prometheus-client: 1,000 models have 9,000 lines."""

from collections.abc import Iterable

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class _Head(Collector):
    """A family without its series."""

    def __init__(self, family: Metric) -> None:
        self._head = Metric(family.name, family.documentation, family.type)

    def collect(self) -> Iterable[Metric]:
        return (self._head,)


def text(families: Iterable[Metric]) -> bytes:
    """Return the families as text. Names of metrics and labels are not escaped. Series may share a dict of labels."""
    lines: list[str] = []
    written: dict[int, str] = {}
    families = list(families)  # keeps the dicts of labels alive, so that their ids stay unique
    for family in families:
        lines.append(generate_latest(_Head(family)).decode())
        for sample in family.samples:
            name, labels, value = sample[:3]
            said = written.get(id(labels))
            if said is None:
                said = written[id(labels)] = _said(labels)
            lines.append(f"{name}{said} {floatToGoString(value)}\n")  # type: ignore[no-untyped-call]
    return "".join(lines).encode()


def _said(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
