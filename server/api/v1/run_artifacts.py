"""Views of the native API for artifacts of runs: lists, uploads in chunks, downloads of ranges."""

import re
from typing import Any, BinaryIO

from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from server.api import caller, fields
from server.api.codec import chunks
from server.api.errors import request_id
from server.api.v1.runs import OfRun
from server.api.v1.tracking_bodies import ArtifactListSerializer, ArtifactSerializer, FolderQuery, UploadSerializer
from server.api.v1.view import operation
from server.contents import contents
from server.core.errors import Conflict, Invalid, TooLarge
from server.core.validation import format_value
from server.tracking import artifacts, runs, uploads
from server.tracking.models import Artifact, Run
from server.tracking.models.names import DELETED

BINARY = {"type": "string", "format": "binary"}
OCTETS = {"application/octet-stream": BINARY}
OFFSET = {"name": "Upload-Offset", "in": "header", "required": True, "description": "Where the chunk begins, bytes", "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}}  # fmt: skip
RANGE = {
    "name": "Range",
    "in": "header",
    "description": "A part, such as bytes=100-199",
    "schema": {"type": "string", "maxLength": 100, "pattern": "^[ -~]*$"},
}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")


def check_active(run: Run) -> None:
    """Refuse what would change a deleted run."""
    if run.lifecycle == DELETED:
        raise Conflict(f"run {run.uid} is deleted: restore it first", field="run", code="deleted")


class Uploads(OfRun):
    """Contents of artifacts, in chunks."""

    @operation("getUpload", answers={200: UploadSerializer}, errors=(503,))
    def get(self, request: Request, uid: str, sha256: str) -> Response:
        """Show how much of a content has arrived. An artifact of the run must have been announced with it."""
        return Response(uploads.state(self.own(request, uid), sha256)._asdict())

    @operation("sendChunk", OCTETS, answers={200: UploadSerializer}, errors=(409, 503), headers=[OFFSET])
    def patch(self, request: Request, uid: str, sha256: str) -> Response:
        """Append a chunk of at most 64 MB. Where it doesn't begin at the next byte, the answer (409) says which is.

        When all of it is there, its SHA-256 is compared. If it differs, all is thrown away (400).
        """
        run = self.own(request, uid)
        check_active(run)
        asked = request._request
        said = asked.META.get("HTTP_UPLOAD_OFFSET", "")
        if not re.fullmatch(r"[0-9]{1,18}", said):
            raise Invalid(
                f"header Upload-Offset is {format_value(said)}: expected where the chunk begins, in bytes",
                field="Upload-Offset",
            )
        length = int(asked.META.get("CONTENT_LENGTH") or 0)
        if length > uploads.LARGEST_CHUNK:
            raise TooLarge(f"the chunk has {length} bytes: the most allowed is {uploads.LARGEST_CHUNK}")
        try:
            return Response(uploads.append(run, sha256, int(said), chunks(asked))._asdict())
        except uploads.WrongOffset as exc:
            shown = {"code": exc.code, "message": exc.message, "field": exc.field, "request_id": request_id(asked)}
            return Response({"error": shown, **exc.state._asdict()}, status=409)


class Artifacts(OfRun):
    """The artifacts of a run."""

    @operation("listArtifacts", answers={200: ArtifactListSerializer}, query=FolderQuery)
    def get(self, request: Request, uid: str) -> Response:
        """List the artifacts of a run, or of a folder of it."""
        rows = Artifact.objects.filter(run=runs.find(uid))
        folder = self.query["folder"].strip("/")
        found = artifacts.listing(rows, folder, recursive=self.query["recursive"] == "true")
        return Response({"artifacts": found})


class OneArtifact(OfRun):
    """One artifact."""

    path = {**OfRun.path, "path": fields.Text("Path of the artifact", max_length=1_000, min_length=1)}

    @operation("getArtifact", answers={200: OCTETS, 206: OCTETS}, headers=[RANGE])
    def get(self, request: Request, uid: str, path: str) -> HttpResponseBase:
        """Download an artifact, or a part of it, as an attachment."""
        found = artifacts.find(Artifact.objects.filter(run=runs.find(uid)), path)
        return sent(request._request, found)

    @operation("putArtifact", OCTETS, answers={200: ArtifactSerializer}, errors=(409, 503))
    def put(self, request: Request, uid: str, path: str) -> Response:
        """Send an artifact in one request. Large ones are better announced by a line, and sent in chunks."""
        run = self.own(request, uid)
        check_active(run)
        artifacts.check_path(path)
        artifacts.check_size(int(request._request.META.get("CONTENT_LENGTH") or 0), "the content")
        with contents.receiving(chunks(request._request)) as received:
            made = artifacts.put(path, received, run_id=run.pk, owner=caller.owner(request._request))
        return Response(artifacts.described(made))

    @operation("deleteArtifact", answers={204: None}, errors=(409,))
    def delete(self, request: Request, uid: str, path: str) -> Response:
        """Delete an artifact."""
        run = self.own(request, uid)
        check_active(run)
        rows = Artifact.objects.filter(run=run)
        artifacts.delete(rows.filter(pk=artifacts.find(rows, path).pk))
        return Response(status=204)


class _Part:
    """A part of an open file, which reads to its end only."""

    def __init__(self, file: BinaryIO, first: int, count: int) -> None:
        self._file, self._left = file, count
        file.seek(first)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


def sent(request: Any, artifact: Artifact) -> HttpResponseBase:
    """Return the content of an artifact, or the range that the request asks for, as a download.

    No browser shows or runs it on this server's origin.
    """
    name = artifact.path.rpartition("/")[2]
    kind = "application/octet-stream"
    tag = f'"{artifact.sha256}"'
    wanted = request.META.get("HTTP_RANGE", "")
    if request.META.get("HTTP_IF_RANGE", tag) != tag:
        wanted = ""
    chosen = _range(wanted, artifact.size) if wanted else None
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    if chosen is not None and chosen[0] > chosen[1]:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{artifact.size}"})
    file = artifacts.open_content(artifact)
    if chosen is None:
        answer = FileResponse(file, as_attachment=True, filename=name, content_type=kind, headers=headers)
    else:
        first, last = chosen
        headers["Content-Range"] = f"bytes {first}-{last}/{artifact.size}"
        answer = FileResponse(
            _Part(file, first, last - first + 1), as_attachment=True, filename=name, content_type=kind, headers=headers,
            status=206,
        )  # fmt: skip
        answer["Content-Length"] = str(last - first + 1)
    return answer


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte of a range; None if all is wanted. The first is larger if there is no such part."""
    found = _RANGE.match(text.strip())
    if found is None or found.groups() == ("", ""):
        return None  # several ranges, or other units: all of it is a valid answer
    first, last = found.groups()
    if not first:
        count = min(int(last), size)
        return (size - count, size - 1) if count else (1, 0)
    begin, end = int(first), min(int(last) if last else size - 1, size - 1)
    return (begin, end) if begin < size and (not last or int(last) >= begin) else (1, 0)
