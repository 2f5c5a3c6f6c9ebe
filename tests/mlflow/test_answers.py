"""Our answers beside those of a real ``mlflow server`` to the same requests, which ``tests.mlflow.record`` has recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import Api
from tests.mlflow.answers import collect, without_order
from tests.mlflow.differences import DIFFERENCES

RECORDED = Path(__file__).parents[1] / "fixtures" / "mlflow" / "answers.json"


@pytest.mark.django_db(transaction=True)
@pytest.mark.database
def test_answers_are_those_of_mlflow(api: Api, tmp_path: Path) -> None:
    def send(method: str, path: str, body: Any) -> tuple[int, bytes]:
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response = api.client.generic(method, path, data, kind)
        found = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
        return response.status_code, found

    ours, theirs = (
        {name: without_order(name, one) for name, one in answers.items()}
        for answers in (collect(send), json.loads(RECORDED.read_text()))
    )
    assert ours.keys() == theirs.keys()
    wrong = []
    for name, answer in ours.items():
        expected = DIFFERENCES[name][0] if name in DIFFERENCES else theirs[name]
        expected = theirs[expected] if isinstance(expected, str) else expected
        if answer != expected:
            wrong.append(
                f"{name}\n    ours   {json.dumps(answer)[:1500]}\n    MLflow {json.dumps(theirs[name])[:1500]}"
            )
        elif name in DIFFERENCES and answer == theirs[name]:
            wrong.append(f"{name} no longer differs: take it out of differences.py")
    assert not wrong, f"{len(wrong)} of {len(ours)} answers:\n" + "\n".join(wrong)
