"""What the URL of the pages of cells says: the model, and the parameters that links keep."""

from urllib.parse import quote, urlencode

from django.http import HttpRequest

from server.core.errors import Invalid
from server.learning.models import Model
from server.streams.models import Stream

MOST_MODELS = 200


def link(stream: str, cell: str) -> str:
    """Return the path of a cell's page."""
    return f"/streams/{quote(stream)}/cells/{quote(cell)}/"


def query(request: HttpRequest, without: tuple[str, ...], **changed: str) -> str:
    """Return the page's parameters as a query, without some and with others changed."""
    kept = {name: values for name, values in request.GET.lists() if name not in without}
    return urlencode({**kept, **changed}, doseq=True)


def chosen_model(request: HttpRequest, stream: Stream) -> tuple[list[str], Model | None]:
    """Return the stream's regression models, and the one that the URL names, or else the one with the least error."""
    found = Model.objects.filter(stream=stream, flavor="regression")
    rows = list(found.order_by("name").values_list("name", "modelstatus__value")[:MOST_MODELS])
    wanted = request.GET.get("model", "")
    if not wanted:
        if not rows:
            return [], None
        wanted = min(rows, key=lambda row: (row[1] is None, row[1] or 0.0, row[0]))[0]
    model = found.select_related("stream").filter(name=wanted).first() if "\x00" not in wanted else None
    if model is None:
        names = ", ".join(name for name, _ in rows[:10]) or "there is none"
        raise Invalid(f"model is {wanted[:80]!r}: expected a regression model of this stream ({names})", field="model")
    return [name for name, _ in rows], model
