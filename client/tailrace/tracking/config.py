"""`ExperimentConfig`: what an experiment is about. It becomes tags and parameters of its runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum

from tailrace.errors import Unusable
from tailrace.similar_names import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ExperimentConfig", "Framework", "PhysicsDomain", "PhysicsMetadata"]

LONGEST_NAME = 500


class PhysicsDomain(Enum):
    """Domain of an experiment. A value that is not here can be given as text."""

    NEURAL_OPERATORS = "neural-operators"
    L2O = "l2o"
    NEURAL_DFT = "neural-dft"
    PINN = "pinn"
    QUANTUM_COMPUTING = "quantum-computing"
    MOLECULAR_DYNAMICS = "molecular-dynamics"
    OTHER = "other"


class Framework(Enum):
    """Library that trains. A value that is not here can be given as text."""

    JAX = "jax"
    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"
    SCIKIT_LEARN = "scikit-learn"
    NUMPY = "numpy"
    OTHER = "other"


@dataclass
class PhysicsMetadata:
    """What is known of the physics of an experiment. Each field that is given becomes a parameter ``physics.FIELD``."""

    pde_type: str | None = None
    dimensionality: int | None = None
    boundary_conditions: list[str] | None = None
    conservation_laws: list[str] | None = None
    symmetries: list[str] | None = None
    physical_constants: dict[str, float] | None = None
    coordinate_system: str | None = None
    temporal_scheme: str | None = None
    domain_bounds: tuple[float, ...] | None = None
    grid_resolution: tuple[int, ...] | None = None
    time_horizon: float | None = None
    material_properties: dict[str, Any] | None = None
    system_parameters: dict[str, Any] | None = None
    analytical_solution: str | None = None
    reference_data_source: str | None = None
    validation_metrics: dict[str, str] | None = None


@dataclass
class ExperimentConfig:
    """Configuration of an experiment.

    Parameters
    ----------
    name
        Name of the experiment: 1 to 500 characters. Its runs are listed and compared together.
    physics_domain, framework
        What is trained, and with which library: a member of the enumeration, or text.
    description
        In a sentence or two.
    tags
        Words to find runs by. Each becomes a tag of the run with the value ``true``.
    physics_metadata
        What is known of the physics. It becomes parameters.
    backend
        Where runs are sent, unless `ExperimentTracker.create` names others: one name, or several.
    backend_config
        Options of the back ends. See `ExperimentTracker.create`.
    research_group, project_id, paper_reference, dataset_id, environment_hash, git_commit
        Each that is given becomes a tag. `git_commit` is found in the working directory, if there is one.
    random_seed
        Becomes a parameter.
    enable_physics_validation
        Whether the checks of metric types are evaluated and stored.

    Raises
    ------
    Unusable
        If a field is not valid. The message names it.
    """

    name: str
    physics_domain: PhysicsDomain | str = PhysicsDomain.OTHER
    framework: Framework | str = Framework.OTHER
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    physics_metadata: PhysicsMetadata | None = None
    backend: str | list[str] = "tailrace"
    backend_config: dict[str, Any] = field(default_factory=dict)
    research_group: str | None = None
    project_id: str | None = None
    paper_reference: str | None = None
    dataset_id: str | None = None
    random_seed: int | None = None
    environment_hash: str | None = None
    git_commit: str | None = None
    enable_gpu_tracking: bool = True
    enable_memory_tracking: bool = True
    enable_physics_validation: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or len(self.name) > LONGEST_NAME:
            raise Unusable(f"name is {self.name!r}: expected text of 1 to {LONGEST_NAME} characters")
        self.physics_domain = _member(self.physics_domain, PhysicsDomain, "physics_domain")
        self.framework = _member(self.framework, Framework, "framework")
        if isinstance(self.tags, str) or not all(isinstance(tag, str) for tag in self.tags):
            raise Unusable(f"tags is {self.tags!r}: expected a list of texts, such as ['pde']")

    def run_tags(self) -> dict[str, str]:
        """Returns the tags that each run gets."""
        found = {tag: "true" for tag in self.tags if tag.strip()}
        for name in ("physics_domain", "framework"):
            value = getattr(self, name)
            found[name] = value.value if isinstance(value, Enum) else str(value)
        if self.description:
            found["mlflow.note.content"] = self.description
        for name in ("research_group", "project_id", "paper_reference", "dataset_id", "environment_hash"):
            if (value := getattr(self, name)) is not None:
                found[name] = str(value)
        commit = self.git_commit or found_commit()
        if commit:
            found["mlflow.source.git.commit"] = commit
        return found

    def run_params(self) -> dict[str, str]:
        """Returns the parameters that each run gets."""
        found = {} if self.random_seed is None else {"random_seed": str(self.random_seed)}
        if self.physics_metadata is not None:
            for name, value in asdict(self.physics_metadata).items():
                if value is not None:
                    found[f"physics.{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
        return found


def _member(given: Any, kind: type[Enum], name: str) -> Any:
    """Returns a member of an enumeration for its value; other texts as they are."""
    if isinstance(given, kind):
        return given
    if not isinstance(given, str) or not given.strip():
        near = did_you_mean(str(given), [one.value for one in kind])
        raise Unusable(f"{name} is {given!r}: expected a member of {kind.__name__}, or text{near}")
    for one in kind:
        if given == one.value:
            return one
    return given


def found_commit() -> str:
    """Returns the commit that the working directory is at, by reading ``.git``; empty if there is none."""
    import os

    place = os.getcwd()
    while True:
        git = os.path.join(place, ".git")
        if os.path.exists(git):
            break
        above = os.path.dirname(place)
        if above == place:
            return ""
        place = above
    try:
        if os.path.isfile(git):
            git = os.path.join(place, _read(git).partition("gitdir:")[2].strip())
        head = _read(os.path.join(git, "HEAD")).strip()
        if not head.startswith("ref:"):
            return head[:64]
        name = head[4:].strip()
        common = git
        if os.path.exists(os.path.join(git, "commondir")):
            common = os.path.join(git, _read(os.path.join(git, "commondir")).strip())
        for directory in (git, common):
            if os.path.exists(os.path.join(directory, name)):
                return _read(os.path.join(directory, name)).strip()[:64]
        for line in _read(os.path.join(common, "packed-refs")).splitlines():
            if line.endswith(f" {name}"):
                return line.split(" ")[0][:64]
    except (OSError, ValueError):
        pass
    return ""


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(1_000_000)
