"""Descriptor definitions: all parameters that determine the features of a bond, under a name."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase.data import atomic_numbers

from lammps_jobs.bonds.errors import Refused

__all__ = ["BASES", "DEFAULT", "Definition", "Projection"]

BASES = Path(__file__).parent.with_name("bases")
"""Directory of the bases that come with this package, each in a file ``NAME.npy``."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Projection:
    """A linear map from a SOAP vector to fewer numbers.

    Attributes
    ----------
    kind
        ``gaussian``: independent normal random numbers of variance 1/size, which preserve scalar products on average
        (Johnson and Lindenstrauss). ``basis``: the rows of a matrix in the file ``bases/NAME.npy``.
    size
        Length P of the result.
    seed
        Seed of a Gaussian projection, for NumPy's `RandomState`, whose numbers are the same in every version.
    basis, sha256
        Name of the basis, and the checksum of its file.
    """

    kind: Literal["gaussian", "basis"]
    size: int
    seed: int | None = None
    basis: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "basis"):
            raise Refused(f"a projection's kind is 'gaussian' or 'basis', got {self.kind!r}")
        _whole("projection.size", self.size, 1, 4096)
        if self.kind == "gaussian":
            _whole("projection.seed", self.seed, 0, 2**32 - 1)
            if self.basis is not None or self.sha256 is not None:
                raise Refused("a gaussian projection has a seed, no basis and no sha256")
        else:
            if self.seed is not None:
                raise Refused("a projection by a basis has no seed")
            if not isinstance(self.basis, str) or not _NAME.fullmatch(self.basis):
                raise Refused(f"projection.basis is the name of a basis, got {self.basis!r}")
            if not isinstance(self.sha256, str) or not _DIGEST.fullmatch(self.sha256):
                raise Refused(f"projection.sha256 has 64 hexadecimal digits, got {self.sha256!r}")

    @classmethod
    def by_basis(cls, name: str, directory: Path = BASES) -> Projection:
        """Return a projection by an existing basis. Raises Refused if the basis does not exist."""
        matrix, digest = _read(directory / f"{name}.npy")
        return cls("basis", len(matrix), basis=name, sha256=digest)

    def matrix(self, length: int, directory: Path = BASES) -> np.ndarray:
        """Return the matrix of the map, shape (length, size): ``vectors @ matrix``.

        Raises
        ------
        Refused
            If the basis does not exist, has another checksum than defined, or is for vectors of another length.
        """
        if self.kind == "gaussian":
            numbers = np.random.RandomState(self.seed).standard_normal((length, self.size))
            # Rounded, because the last bits of a logarithm differ between platforms.
            return np.round(numbers / math.sqrt(self.size), 9)
        path = directory / f"{self.basis}.npy"
        rows, digest = _read(path)
        if digest != self.sha256:
            raise Refused(f"{path}: the basis {self.basis} has the checksum {digest}, but {self.sha256} was defined")
        if rows.shape != (self.size, length):
            raise Refused(f"{path}: expected the shape {(self.size, length)}, got {rows.shape}")
        return np.ascontiguousarray(rows.T, dtype=float)


@dataclass(frozen=True, slots=True)
class Definition:
    """Parameters of DScribe's SOAP vectors and of their projection.

    A definition never changes. Different parameters get another name.

    Attributes
    ----------
    name
        Name, as observations and streams refer to it.
    species
        Chemical elements that can be described, in alphabetical order.
    r_cut
        Radius of a neighbourhood, Å.
    n_max, l_max
        Number of radial functions, and highest degree of the spherical harmonics.
    sigma
        Width of the atoms' Gaussians, Å.
    rbf
        DScribe's name of the radial functions.
    normalisation
        ``unit``: a SOAP vector is scaled to length 1 before it is projected.
    projection
        The projection to fewer numbers.
    dscribe
        Version of DScribe that computes the vectors.
    """

    name: str
    species: tuple[str, ...]
    r_cut: float
    n_max: int
    l_max: int
    sigma: float
    projection: Projection
    dscribe: str
    rbf: Literal["gto", "polynomial"] = "gto"
    normalisation: Literal["unit"] = "unit"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise Refused(f"a definition's name has 1 to 64 letters, digits, '.', '_' and '-', got {self.name!r}")
        known = [element for element in self.species if isinstance(element, str) and atomic_numbers.get(element)]
        if not self.species or list(self.species) != sorted(set(known)):
            raise Refused(f"species are chemical elements in alphabetical order, got {list(self.species)}")
        _number("r_cut", self.r_cut, 1.0, 20.0)
        _number("sigma", self.sigma, 0.01, 5.0)
        _whole("n_max", self.n_max, 1, 20)
        _whole("l_max", self.l_max, 0, 20)
        if self.rbf not in ("gto", "polynomial"):
            raise Refused(f"rbf is 'gto' or 'polynomial', got {self.rbf!r}")
        if self.normalisation != "unit":
            raise Refused(f"normalisation is 'unit', got {self.normalisation!r}")
        if not isinstance(self.dscribe, str) or not self.dscribe:
            raise Refused(f"dscribe is a version such as '2.1.2', got {self.dscribe!r}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all fields except the name.

        Two definitions have the same fingerprint if and only if their features can be mixed.
        """
        content = {name: value for name, value in self.as_json().items() if name != "name"}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the definition as plain data for `from_json`."""
        data = asdict(self)
        data["species"] = list(self.species)
        data["projection"] = {name: value for name, value in data["projection"].items() if value is not None}
        # 4 and 4.0 are the same radius, so they must have the same fingerprint.
        return data | {"r_cut": float(self.r_cut), "sigma": float(self.sigma)}

    @classmethod
    def from_json(cls, data: Any) -> Definition:
        """Return the definition from plain data, or from the text of a JSON object.

        Raises
        ------
        Refused
            If a field is missing, unknown or out of its range.
        """
        if isinstance(data, str | bytes):
            try:
                data = json.loads(data)
            except ValueError as error:
                raise Refused(f"a descriptor definition is a JSON object: {error}") from None
        fields = _only(data, "descriptor definition", cls)
        species = fields["species"]
        if not isinstance(species, list | tuple):
            raise Refused(f"species is a list of chemical elements, got {species!r}")
        projection = Projection(**_only(fields["projection"], "projection", Projection))
        return cls(**(fields | {"species": tuple(species), "projection": projection}))


def _only(data: Any, what: str, kind: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise Refused(f"a {what} is a JSON object, got {data!r}")
    allowed = kind.__dataclass_fields__
    unknown = sorted(set(map(str, data)) - set(allowed))
    if unknown:
        raise Refused(f"a {what} has no field {unknown[0]!r}; its fields are {', '.join(allowed)}")
    optional = {"rbf", "normalisation", "seed", "basis", "sha256"}
    missing = [name for name in allowed if name not in data and name not in optional]
    if missing:
        raise Refused(f"a {what} needs the field {missing[0]!r}")
    return dict(data)


def _read(path: Path) -> tuple[np.ndarray, str]:
    try:
        content = path.read_bytes()
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npy"))) or "none"
        raise Refused(f"the basis {path.stem} can't be read ({error}); available: {there}") from None
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise Refused(f"{path}: a basis is a matrix of finite numbers, one row a component; got {matrix.shape}")
    return matrix, hashlib.sha256(content).hexdigest()


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"{name} is a whole number from {least} to {most}, got {value!r}")


def _number(name: str, value: Any, least: float, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"{name} is a number from {least:g} to {most:g} Å, got {value!r}")


DEFAULT = Definition(
    name="cu-zr-al-1",
    species=("Al", "Cu", "Zr"),
    r_cut=3.75,
    n_max=8,
    l_max=6,
    sigma=1.0,
    projection=Projection(
        "basis", 64, basis="cu-zr-al-64", sha256="6030f2d8240ee526029b9500303e0622faac08b71348d1ee51c89c91a0186fce"
    ),
    dscribe="2.1.2",
)
"""The settings of Phys. Rev. Materials 4, 113603, projected on the basis from `lammps_jobs.bonds.basis`."""
