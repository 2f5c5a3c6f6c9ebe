"""`bonds predict` with a model on a server describes bonds as that model learned them, or not at all."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tailrace import Client

from lammps_jobs.bonds.command import main
from lammps_jobs.bonds.descriptors.definition import DEFAULT
from lammps_jobs.bonds.descriptors.soap import Descriptor
from lammps_jobs.bonds.labels import icohplist
from lammps_jobs.bonds.learning.cell_observations import described
from lammps_jobs.bonds.learning.structure_prediction import predict
from lammps_jobs.bonds.structures import structure_files
from tests.lammps_jobs.crystals import crystal, labeled
from tests.lammps_jobs.test_bonds_soap import SMALL
from tests.serving import Server

pytestmark = pytest.mark.one_database


class Place:
    """A directory with a structure, and streams of their own on a real server."""

    def __init__(self, server: Server, prefix: str) -> None:
        self.server, self.prefix = server, prefix

    def define(self, definition, name):
        content = {field: value for field, value in definition.as_json().items() if field != "name"}
        self.define_as(name, content)

    def define_as(self, name, content):
        assert self.server.post("/api/v1/descriptors/", {"name": name, "content": content})[0] in (200, 201)

    def model(self, descriptor, definition=SMALL):
        """A `bond-gpr` that has learned a cell described by a definition."""
        assert self.server.post("/api/v1/streams/", self._stream(descriptor))[0] == 201
        body = {"name": self.prefix, "stream": self.prefix, "recipe": "bond-gpr"}
        assert self.server.post("/api/v1/models/", body)[0] == 201
        structure = crystal((2, 2, 2), 3)
        points = described(structure, labeled(structure), Descriptor(definition), "labels").observations()
        body = {"observations": [{"x": x, "y": y} for x, y in points]}
        body |= {"descriptor": descriptor} if descriptor else {}
        assert self.server.post(f"/api/v1/streams/{self.prefix}/observations/", body)[0] == 201
        return Client(self.server.url).model(self.prefix).download()

    def _stream(self, descriptor):
        return {
            "name": self.prefix,
            "target": {"name": "-ICOHP", "unit": "eV"},
            "segment": "bond",
            "descriptor": descriptor,
        }

    def predict(self, *more):
        return main(["predict", "cell.xyz", "-o", "out", "--model", self.prefix, "--server", self.server.url, *more])


@pytest.fixture
def place(tmp_path, monkeypatch, sweep_server, request):
    structure_files.write(tmp_path / "cell.xyz", crystal((2, 2, 3), 32))
    monkeypatch.chdir(tmp_path)
    return Place(sweep_server, re.sub(r"\W+", "-", request.node.name)[-60:].strip("-"))


def _written():
    return [-bond.icohp for bond in icohplist.read("out")]


def test_bonds_are_described_by_the_descriptor_of_the_models_stream(place):
    place.define(SMALL, "of-the-stream")
    estimator = place.model("of-the-stream")
    assert place.predict() == 0
    structure = structure_files.read("cell.xyz")
    assert np.allclose(_written(), predict(structure, estimator, SMALL).strength, atol=6e-6)
    assert not np.allclose(_written(), predict(structure, estimator, DEFAULT).strength, atol=1e-3)


def test_the_same_definition_may_be_said_and_another_one_is_refused(place, capsys):
    place.define(SMALL, "of-the-stream")
    place.model("of-the-stream")
    Path("same.json").write_text(json.dumps(replace(SMALL, name="another-name").as_json()))
    assert place.predict("--definition", "same.json") == 0
    before = Path("out").read_bytes()
    capsys.readouterr()
    other = replace(SMALL, name="wider", r_cut=4.0)
    Path("other.json").write_text(json.dumps(other.as_json()))
    assert place.predict("--definition", "other.json") == 1
    said = capsys.readouterr().err
    for word in (place.prefix, "of-the-stream", SMALL.fingerprint[:12], "wider", other.fingerprint[:12]):
        assert word in said
    assert said.count("\n") == 1
    assert Path("out").read_bytes() == before


def test_a_stream_without_a_descriptor_leaves_it_to_who_asks(place):
    estimator = place.model(None)
    Path("small.json").write_text(json.dumps(SMALL.as_json()))
    structure = structure_files.read("cell.xyz")
    for more, definition in ((("--definition", "small.json"), SMALL), ((), DEFAULT)):
        assert place.predict(*more) == 0
        assert np.allclose(_written(), predict(structure, estimator, definition).strength, atol=6e-6)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"r_cut": 3.75}, "a descriptor definition needs the field 'species'"),
        (SMALL.as_json() | {"dscribe": "0.1"}, "is defined with DScribe 0.1"),
    ],
)
def test_a_descriptor_that_can_t_be_made_here_is_refused(content, why, place, capsys):
    place.define_as(f"d-{len(content)}", content)
    place.model(f"d-{len(content)}")
    assert place.predict() == 1
    said = capsys.readouterr().err
    assert why in said and f"d-{len(content)}" in said and said.count("\n") == 1
    assert not Path("out").exists()


def test_a_definition_that_is_none_is_refused_with_its_file(place, capsys):
    Path("bad.json").write_text('{"name": "x"}')
    assert place.predict("--definition", "bad.json") == 1
    assert capsys.readouterr().err.startswith("bonds predict: bad.json: a descriptor definition needs the field")
