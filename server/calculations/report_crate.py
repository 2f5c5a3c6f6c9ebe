"""RO-Crates of calculations: the report, the structures and all stored files in one ZIP file, described for machines."""

import io
import json
import shutil
import zipfile
from typing import Any, BinaryIO

from server.calculations import files
from server.calculations.models import Calculation
from server.calculations.report_data import report, stored_files
from server.contents import contents
from server.core.errors import NotFound
from server.core.json_codec import dumps


def crate(calculation: Calculation, page: bytes) -> BinaryIO:
    """Return an RO-Crate (https://w3id.org/ro/crate/1.1) as an open ZIP file: the report, structures, and all stored files.

    Parameters
    ----------
    page
        The report as HTML.
    """
    data = report(calculation)
    root = f"calculation-{calculation.pk}/"
    parts: list[dict[str, Any]] = []
    written = contents.unnamed()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: BinaryIO, kind: str, description: str) -> None:
            with content, archive.open(root + name, "w", force_zip64=True) as target:
                shutil.copyfileobj(content, target, contents.CHUNK)
                size = content.tell()
            parts.append(
                {"@id": name, "@type": "File", "name": name.rpartition("/")[2], "encodingFormat": kind,
                 "contentSize": str(size), "description": description}
            )  # fmt: skip

        add("report.json", io.BytesIO(dumps(data)), "application/json", "Values, tables and provenance")
        add("report.html", io.BytesIO(page), "text/html", "The same as a page")
        done = set()
        steps = calculation.steps.select_related("structure").defer("structure__content").order_by("number")
        for step in steps.iterator():  # each content is read once, and not kept
            structure = step.structure
            if structure is not None and structure.sha256 not in done:
                done.add(structure.sha256)
                name = f"structures/{structure.sha256[:16]}.extxyz"
                add(
                    name,
                    io.BytesIO(structure.content.encode()),
                    "chemical/x-xyz",
                    f"Structure {structure}, {structure.formula}",
                )
        for (step_name, name), stored in sorted(stored_files(calculation).items()):
            try:
                add(
                    f"results/{step_name}/{name}",
                    files.open_file(stored),
                    "application/octet-stream",
                    f"Result of step {step_name}",
                )
            except NotFound:
                continue
        archive.writestr(root + "ro-crate-metadata.json", json.dumps(_metadata(calculation, data, parts), indent=2))
    written.seek(0)
    return written


def _metadata(calculation: Calculation, data: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    software: dict[str, dict[str, Any]] = {}
    actions = []
    for step in data["results"]:
        made = step["provenance"]
        if made is None:
            continue
        number = f"#{step['program']}-{made['version']}"
        software[number] = {
            "@id": number, "@type": "SoftwareApplication", "name": step["program"], "softwareVersion": made["version"],
        }  # fmt: skip
        prefix = f"results/{step['name']}/"
        results = [{"@id": part["@id"]} for part in parts if part["@id"].startswith(prefix)]
        actions.append(
            {"@id": f"#step-{step['name']}", "@type": "CreateAction", "name": f"step {step['name']}",
             "instrument": {"@id": number}, "result": [*results, {"@id": "report.json"}],
             "description": f"on cluster {made['cluster']}, attempt {made['fence']}"}
        )  # fmt: skip
    main = {
        "@id": "./",
        "@type": "Dataset",
        "name": calculation.name,
        "description": calculation.description or f"Calculation {calculation.pk} with {calculation.program}",
        "datePublished": (calculation.ended_at or calculation.created_at).isoformat(),
        "license": "unspecified: ask the author",
        "author": {"@id": "#author"},
        "hasPart": [{"@id": part["@id"]} for part in parts],
        "mentions": [{"@id": action["@id"]} for action in actions],
    }
    about = {
        "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }  # fmt: skip
    author = {"@id": "#author", "@type": "Person", "name": calculation.created_by or "unknown"}
    graph = [about, main, author, *parts, *software.values(), *actions]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
