"""Uploads that a generator makes: refused in time, or harmless. `make fuzz` goes on for as long as one likes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.operations import split
from tests.fuzz.seeds import uploads
from tests.fuzz.uploads import Cases

pytestmark = pytest.mark.one_database  # bytes in, a refusal out

ROOT = Path(__file__).parents[2]
SEED = 20_261
LONG = float(os.environ.get("TAILRACE_TEST_FUZZ_SECONDS", "60"))
SHORT = 10.0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The generator, in a process of its own: its children are copies of one that has no threads and no database."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.uploads", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LONG + 150,
        check=False,
    )


@pytest.mark.timeout(LONG + 200)
@pytest.mark.parametrize(
    ("seconds", "seed"),
    [pytest.param(SHORT, SEED + 1, id="short"), pytest.param(LONG, SEED, id="long", marks=pytest.mark.slow)],
)
def test_no_generated_upload_harms_a_server(tmp_path: Path, seconds: float, seed: int) -> None:
    ran = run("--seconds", str(seconds), "--seed", str(seed), "--findings", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    assert "0 findings" in ran.stdout
    assert " refused" in ran.stdout
    assert " used" in ran.stdout, "no upload was admitted: only the loader was tried"


def test_a_finding_is_found_and_can_be_replayed(tmp_path: Path) -> None:
    """One that ends the process, where the loader lets it in."""
    code = (
        "import os; from tests.fuzz import uploads; from server.learning.pickles import loader;"
        "load = loader.load_estimator;"
        "loader.load_estimator = lambda data: os.abort() if data[-1:] == b'!' else load(data);"
        "import sys; sys.exit(uploads.main())"
    )
    (tmp_path / "case").write_bytes(b"\x80\x04N.!")
    path = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    ran = subprocess.run(
        [sys.executable, "-c", code, "--replay", str(tmp_path / "case"), "--findings", str(tmp_path / "kept")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "server.settings", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr[-2000:]
    assert "the process ended with -6 when loading" in ran.stdout
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == b"\x80\x04N.!"
    assert f"--replay {kept}" in ran.stdout


def test_the_same_seed_makes_the_same_uploads() -> None:
    one, again = Cases(3), Cases(3)
    made = [one.make(number) for number in range(60)]
    assert made == [again.make(number) for number in range(60)]
    again.seed = 4
    assert made != [again.make(number) for number in range(60)]
    assert len(set(made)) > 50


def test_uploads_are_put_together_again_as_they_were() -> None:
    found = uploads()
    assert len(found) > 300
    for data in found:
        assert split(b"".join(split(data))) == split(data)
