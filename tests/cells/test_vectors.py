"""Coverage of many bonds: a sample is compared with all others, by a file of vectors that follows the log."""

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from server.cells import learned_bonds, learned_coverage, reference
from server.cells.learned_coverage import Share
from server.cells.vectors import VectorFile
from server.learning.background import retention
from server.learning.models import Model
from server.streams.models import Batch, Stream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]

SAMPLE = 12


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any) -> None:
    """A small sample, and files of this test alone."""
    monkeypatch.setattr(learned_coverage, "MAX_LEARNED", SAMPLE)
    settings.TAILRACE = settings.TAILRACE.model_copy(update={"var_dir": tmp_path})


class Vectors:
    """A model on a stream of bonds, and the vectors of its cells."""

    def __init__(self, bonds: Any) -> None:
        self.bonds = bonds
        self.random = np.random.default_rng(5)
        self.rows: list[tuple[str, str, np.ndarray]] = []
        bonds.api.model("avg", "bonds", "mean")

    def add(self, run: int, strain: int, size: int = 30, **more: Any) -> None:
        observations, family = [], f"Cu50Zr50-{run}"
        for n in range(size):
            kind, vector = ("Zr-Cu", "Cu-Cu")[n % 2], np.round(self.random.normal(size=3), 6)
            self.rows.append((kind, family, vector))
            numbers = {f"s{place}": value for place, value in enumerate(vector.tolist())}
            observations.append({"x": {"bond": kind, "distance": 2.5, **numbers, **more}, "y": 1.0})
        self.bonds.add(f"{family}-{strain:02d}", observations)

    def by_hand(self, without: set[int] = frozenset()) -> dict[str, dict[int, float]]:  # type: ignore[assignment]
        """Kind to number to the distance to the nearest of another family."""
        found: dict[str, dict[int, float]] = {"Zr-Cu": {}, "Cu-Cu": {}}
        kept = [(n, *row) for n, row in enumerate(self.rows, 1) if n not in without]
        for n, kind, family, vector in kept:
            others = [row[3] for row in kept if row[1] == kind and row[2] != family]
            found[kind][n] = min(float(np.linalg.norm(vector - one)) for one in others)
        return found

    def measured(self) -> dict[str, dict[int, float]]:
        stream = Stream.objects.get(name="bonds")
        learned = learned_bonds.read(stream.pk, 0, stream.head, reference.EVER)
        drawn = [learned.sample(code, SAMPLE) for code in range(2)]
        found = learned_coverage._measured(stream, learned, drawn)
        return {
            kind: dict(zip(learned.numbers[own].tolist(), some.tolist(), strict=True))
            for kind, own, some in zip(learned.kind_names, drawn, found, strict=True)
        }

    def check(self, without: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        expected, found = self.by_hand(without), self.measured()
        assert {kind: len(some) for kind, some in found.items()} == {"Zr-Cu": SAMPLE, "Cu-Cu": SAMPLE}
        for kind, some in found.items():
            assert some == pytest.approx({number: expected[kind][number] for number in some}, rel=1e-12)


@pytest.fixture
def vectors(bonds: Any) -> Vectors:
    found = Vectors(bonds)
    for run, strain in ((1, 0), (1, 1), (2, 0), (3, 0)):
        found.add(run, strain)
    return found


def file_of() -> VectorFile:
    return VectorFile(Stream.objects.get(name="bonds"))


def test_a_sample_is_compared_with_all_of_other_families(vectors):
    vectors.check()


def test_the_file_follows_the_log(vectors, monkeypatch):
    vectors.check()
    vectors.add(1, 2)
    vectors.add(4, 0)
    made_anew = []
    monkeypatch.setattr("server.cells.vectors._all_names", lambda stream: made_anew.append(stream))
    vectors.check()
    assert not made_anew


def test_retracted_bonds_are_left_out(vectors):
    vectors.check()
    for number in (1, 2, 70):
        vectors.bonds.api.ok(vectors.bonds.OBSERVATIONS + f"{number}/retract/", {"reason": "wrong"}, 202)
    vectors.check({1, 2, 70})


def test_a_new_feature_and_a_text_make_the_file_anew(vectors):
    with closing(file_of()) as file:
        assert file.names == ["s0", "s1", "s2"]
    vectors.add(5, 0, s3=0.0)
    with closing(file_of()) as file:
        assert (file.names, file.upto) == (["s0", "s1", "s2", "s3"], 150)
    vectors.check()
    vectors.add(6, 0, s3="far")
    vectors.check()


def test_a_file_of_another_log_is_not_used(vectors):
    vectors.check()
    Batch.objects.filter(last=120).update(checksum=1)
    batch = Batch.objects.get(last=120)
    batch.xs = batch.xs.replace('"s0":', '"s9":')
    batch.save()
    with closing(file_of()) as file:
        assert file.names == ["s0", "s1", "s2", "s9"]


def test_a_damaged_file_is_made_anew(vectors, tmp_path):
    vectors.check()
    (rows,) = (tmp_path / "vectors").glob("*.rows")
    rows.write_bytes(rows.read_bytes()[:-8])
    vectors.check()
    (about,) = (tmp_path / "vectors").glob("*.json")
    about.write_text("{")
    vectors.check()


def test_observations_whose_features_are_no_longer_kept_are_left_out(vectors):
    vectors.check()
    retention.carry_out(retention.plan(Stream.objects.get(name="bonds"), 60, 30))
    found = vectors.measured()
    kept = [distance for some in found.values() for distance in some.values() if not np.isnan(distance)]
    assert kept and len(kept) <= 2 * SAMPLE


def test_the_file_goes_with_its_stream(vectors, tmp_path):
    folder = tmp_path / "vectors"
    vectors.check()
    for name in ("987654.rows", "987654.lock"):  # of a stream that another machine deleted
        (folder / name).touch()
    vectors.add(5, 0, s3=0.0)
    file_of().close()
    assert (folder / "987654.rows").exists(), "looked for only when a file is made"
    for about in folder.glob("*.json"):
        about.unlink()
    vectors.check()
    assert len(list(folder.iterdir())) == 3
    assert not list(folder.glob("987654.*"))
    assert vectors.bonds.api.delete("/api/v1/streams/bonds/?confirm=bonds").status_code == 204
    assert not list(folder.iterdir())


def test_a_sample_of_cells_has_as_many_of_each_composition_as_can_be_and_families_first():
    """One composition has ten cells of one family, another one three families of one cell."""
    cells = np.repeat(np.arange(13), 3)
    families = np.where(cells < 10, 0, cells - 9)
    none = np.zeros(len(cells), dtype=np.int64)
    lots = np.random.default_rng(0).integers(0, 2**63, len(cells)).astype(np.uint64)
    learned = learned_bonds.LearnedBonds(
        np.arange(1, 40), none, families, (cells >= 10).astype(int), cells, lots, cells >= 0, [], [], []
    )
    assert learned.of_cells(13).all()
    some = [set(cells[learned.of_cells(most)].tolist()) for most in (2, 6, 8)]
    assert [len(one) for one in some] == [2, 6, 8]
    assert 0 in some[0] and len(some[0] & {10, 11, 12}) == 1
    assert some[1] == {0, 1, 2, 10, 11, 12}
    assert some[2] == {0, 1, 2, 3, 4, 10, 11, 12}


def test_a_share_says_how_far_it_may_be_off(vectors):
    model = Model.objects.select_related("stream").get(name="avg")
    share = learned_coverage.by_composition(model, 120)["Cu50Zr50"]["Zr-Cu"]
    assert (share.compared, share.learned) == (SAMPLE, 60)
    assert share.error is not None and 0.05 < share.error < 0.3
    assert Share(9, 10, 10).error == 0.0
    assert Share(900, 1000, 10**6).error == pytest.approx(0.0157, abs=2e-4)
