"""Full SOAP vectors, not projected. Bases are computed from them, and batch regression uses them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms

from lammps_jobs.bonds.descriptors.definition import Definition

__all__ = ["unit_vectors"]


def unit_vectors(structure: Atoms, definition: Definition) -> np.ndarray:
    """Return the SOAP vector of each atom, scaled to length 1, shape (atoms, length of a SOAP vector).

    Parameters
    ----------
    structure
        A periodic structure of the definition's species.
    definition
        How the vectors are computed. Its projection is ignored.
    """
    vectors = np.atleast_2d(_soap(definition).create(structure))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@lru_cache(maxsize=4)
def _soap(definition: Definition) -> Any:
    from dscribe.descriptors import SOAP

    return SOAP(
        species=list(definition.species), r_cut=definition.r_cut, n_max=definition.n_max, l_max=definition.l_max,
        sigma=definition.sigma, rbf=definition.rbf, periodic=True,
    )  # fmt: skip
