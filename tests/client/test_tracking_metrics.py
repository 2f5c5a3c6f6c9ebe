"""Metric types: what they refuse, what their checks mean, and the snippets that the predecessor published."""

import math

import pytest
from tailrace.errors import Unusable
from tailrace.tracking import (
    Experiment,
    ExperimentConfig,
    ExperimentTracker,
    Framework,
    L2OMetrics,
    NeuralDFTMetrics,
    NeuralOperatorMetrics,
    PhysicsDomain,
    PhysicsMetadata,
    PINNMetrics,
    QuantumMetrics,
    metric_types,
)
from tailrace.tracking.metrics import registry

from tests.client.running import NOBODY
from tests.client.test_tracking_calls import lines
from tests.client.trainings import files

pytestmark = pytest.mark.one_database


def passed(metrics):
    return {check.name: check.passed for check in metrics.checks()}


@pytest.mark.parametrize(
    "kind, given, said",
    [
        (NeuralOperatorMetrics, {"modes": 0}, "modes is 0: expected at least 1"),
        (NeuralOperatorMetrics, {"modes": 1.5}, "expected a whole number"),
        (NeuralOperatorMetrics, {"modes": "12"}, "'12' is not a number"),
        (NeuralOperatorMetrics, {"operator_type": ""}, "operator_type is ''"),
        (NeuralOperatorMetrics, {"input_resolution": (64, 0)}, r"input_resolution\[1\] is 0"),
        (NeuralOperatorMetrics, {"input_resolution": ()}, "input_resolution is empty"),
        (NeuralOperatorMetrics, {"input_resolution": (8, 8), "output_resolution": (8,)}, "as many axes"),
        (NeuralOperatorMetrics, {"gpu_utilization_percent": 101}, "expected 0 to 100 in %"),
        (L2OMetrics, {"inner_steps": -1}, "at least 0"),
        (L2OMetrics, {"few_shot_performance": [1]}, "expected numbers by name"),
        (L2OMetrics, {"few_shot_performance": {"a": "x"}}, r"few_shot_performance\['a'\]"),
        (NeuralDFTMetrics, {"chemical_accuracy": -0.1}, "at least 0 in kcal/mol"),
        (PINNMetrics, {"solution_l2_error": -1}, "at least 0"),
        (QuantumMetrics, {"state_fidelity": 1.2}, "expected 0 to 1"),
        (QuantumMetrics, {"quantum_volume": 48}, "a power of 2"),
        (QuantumMetrics, {"circuit_depth": 9, "gate_count": 3}, "at most gate_count"),
    ],
)
def test_values_that_cannot_be_are_refused(kind, given, said):
    with pytest.raises(Unusable, match=said):
        kind(**given)


def test_a_diverged_training_is_a_fact_not_an_error():
    metrics = PINNMetrics(solution_l2_error=math.nan, pde_residual_l2=math.inf)
    assert passed(metrics) == {"trivial_baseline": False, "residual": False}


def test_chemical_accuracy_is_one_kcal_per_mol_in_any_unit():
    assert passed(NeuralDFTMetrics(chemical_accuracy=1.0)) == {"chemical_accuracy": True}
    assert passed(NeuralDFTMetrics(total_energy_error_hartree=0.00159)) == {"chemical_accuracy_total_energy": True}
    assert passed(NeuralDFTMetrics(total_energy_error_hartree=-0.00160)) == {"chemical_accuracy_total_energy": False}
    assert passed(QuantumMetrics(energy=-1.1360, exact_energy=-1.1373)) == {
        "chemical_accuracy": True,
        "variational": True,
    }
    assert passed(QuantumMetrics(energy=-1.1380, exact_energy=-1.1373))["variational"] is False
    shots = QuantumMetrics(energy=-1.1380, exact_energy=-1.1373, energy_standard_error=0.0005)
    assert passed(shots)["variational"] is True


def test_conservation_has_a_tolerance():
    assert passed(NeuralDFTMetrics(particle_number_conservation=-0.0009)) == {"particle_number": True}
    assert passed(NeuralDFTMetrics(particle_number_conservation=0.02, particle_number_tolerance=0.1))["particle_number"]
    assert not passed(PINNMetrics(conservation_violation=-0.01))["conservation"]


def test_calibration_knows_how_many_values_there_were():
    assert passed(PINNMetrics(coverage=0.93)) == {"calibration": True}
    assert passed(PINNMetrics(coverage=0.93, validation_samples=10_000)) == {"calibration": False}
    assert passed(PINNMetrics(coverage=0.93, validation_samples=100)) == {"calibration": True}


def test_other_checks_mean_something():
    assert passed(NeuralOperatorMetrics(modes=33, input_resolution=(64, 64))) == {"modes_resolved": False}
    assert passed(NeuralOperatorMetrics(relative_l2_error=1.1)) == {"trivial_baseline": False}
    assert passed(L2OMetrics(inner_lr=0.1, smoothness=30)) == {"inner_step_stable": False}
    assert passed(L2OMetrics(adaptation_loss=0.1, loss_before_adaptation=0.2)) == {"adaptation_improves": True}
    assert passed(PINNMetrics(loss_balance={"a": 1e-4, "b": 1.0})) == {"loss_balance": False}
    consistent = QuantumMetrics(qubits=1, process_fidelity=0.97, average_gate_fidelity=0.98)
    assert passed(consistent) == {"fidelities_consistent": True}


def test_a_document_has_values_units_and_checks():
    found = NeuralDFTMetrics(chemical_accuracy=0.8).as_document()
    assert (found["chemical_accuracy"], found["check.chemical_accuracy"], found["unit.chemical_accuracy"]) == (
        0.8,
        1,
        "kcal/mol",
    )
    assert "Pople" in found["check.chemical_accuracy.about"]
    assert "Pople" in NeuralDFTMetrics.sources()["chemical_accuracy"]


def test_types_are_open_by_entry_points(monkeypatch):
    from importlib.metadata import EntryPoint

    one = EntryPoint("fluids", "tailrace.tracking.metrics.pinn:PINNMetrics", registry.GROUP)
    bad = EntryPoint("bad", "tailrace.tracking.config:ExperimentConfig", registry.GROUP)
    monkeypatch.setattr(registry, "_entry_points", lambda: [one, bad])
    assert {"fluids", "pinn", "quantum"} <= set(metric_types())
    assert registry.load_metric_type("fluids") is PINNMetrics
    with pytest.raises(Unusable, match="not a class derived from"):
        registry.load_metric_type("bad")
    with pytest.raises(Unusable, match="fluids"):
        registry.load_metric_type("fluid")
    for domain in ("l2o", "neural_dft", "neural_operator", "pinn", "quantum"):
        assert registry.load_metric_type(domain).domain == domain


def test_the_snippets_of_the_predecessor_work(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")
    monkeypatch.setenv("TAILRACE_SPOOL", str(tmp_path))
    config = ExperimentConfig(
        name="darcy_flow_fno", physics_domain=PhysicsDomain.NEURAL_OPERATORS, framework=Framework.JAX,
        description="FNO training on Darcy flow PDE", tags=["neural-operators", "pde", "fluid-dynamics"], backend="mlflow",
        physics_metadata=PhysicsMetadata(pde_type="darcy", dimensionality=2),
    )  # fmt: skip
    tracker = ExperimentTracker.create(backend="mlflow", config=config, tracking_uri=NOBODY)
    with tracker.start_run():
        for epoch in range(3):
            tracker.log_metrics({"epoch": epoch, "train_loss": 0.5, "val_loss": 0.6})
            tracker.log_model({"weights": [1.0]}, f"model_epoch_{epoch}")
        tracker.log_physics_metrics({"spectral_loss": 0.1, "physics_loss": 0.2, "total_loss": 0.3})
        for metrics in (
            NeuralOperatorMetrics(
                operator_type="FNO", input_resolution=(64, 64), output_resolution=(64, 64), modes=12, width=64,
                spectral_loss=0.001, physics_loss=0.0001,
            ),
            L2OMetrics(
                meta_algorithm="MAML", inner_steps=5, outer_lr=1e-3, inner_lr=1e-2, adaptation_loss=0.01,
                generalization_error=0.05,
            ),
            NeuralDFTMetrics(
                functional_type="DM21", chemical_accuracy=0.8, scf_convergence=1e-6, total_energy=-76.4, homo_lumo_gap=0.5
            ),
        ):  # fmt: skip
            tracker.log_physics_metrics(metrics)
    (path,) = files(tmp_path)
    found = lines(path)
    assert [one["step"] for one in found if one["kind"] == "metrics"] == [0, 1, 2]
    assert [one["domain"] for one in found if one["kind"] == "domain"] == [
        "neural_operator", "neural_operator", "l2o", "neural_dft",
    ]  # fmt: skip
    assert {"physics.pde_type": "darcy", "physics.dimensionality": "2"} in [
        one["values"] for one in found if one["kind"] == "params"
    ]
    ours = ExperimentTracker.create(backend="opifex", config=config, physics_domain="quantum_chemistry")
    assert ours.config.physics_domain == "quantum_chemistry"
    assert "tailrace" in repr(ours)


def test_an_experiment_is_a_class(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_TRACKING_HANDOVER", "0")

    class DarcyFlow(Experiment):
        def setup(self):
            self.model = 8.0

        def train_step(self, batch):
            self.model -= batch
            self.log_metrics({"train_loss": self.model})
            return self.model

        def validate(self, val_data):
            self.log_physics_metrics(NeuralOperatorMetrics(relative_l2_error=0.1))
            return {"loss": self.model + val_data}

    class Returning(DarcyFlow):
        def train_step(self, batch):
            return 0.5

    DarcyFlow(ExperimentConfig(name="d"), url=NOBODY, spool=tmp_path / "a").run([1.0, 2.0], 0.5, epochs=2)
    (path,) = files(tmp_path / "a")
    found = [(one["step"], one["values"]) for one in lines(path, "metrics")]
    assert found == [
        (0, {"train_loss": 7.0}), (1, {"train_loss": 5.0}), (2, {"val_loss": 5.5}),
        (2, {"train_loss": 4.0}), (3, {"train_loss": 2.0}), (4, {"val_loss": 2.5}),
    ]  # fmt: skip
    Returning(ExperimentConfig(name="d"), url=NOBODY, spool=tmp_path / "b").run([1.0, 2.0])
    (path,) = files(tmp_path / "b")
    assert [one["values"] for one in lines(path, "metrics")] == [{"train_loss": 0.5}] * 2


@pytest.mark.parametrize(
    "given",
    [{"name": ""}, {"name": "x" * 501}, {"name": 7}, {"name": "x", "tags": "pde"}, {"name": "x", "framework": 3}],
)
def test_a_configuration_is_validated(given):
    with pytest.raises(Unusable, match=r"name is|tags is|framework is"):
        ExperimentConfig(**given)
