"""Published clients of the Open Inference Protocol on a real server: NVIDIA's, and the one made from the protocol's schema."""

import numpy as np
import pytest

ROWS = np.array([[2.0, 4.0, 3.0], [5.0, 10.0, 3.0]])


@pytest.fixture
def served(serve):
    server = serve(workers=2, threads=4)
    made = {"name": "s", "target": {"name": "t", "unit": "s"}, "features": dict.fromkeys("xyz", "number")}
    assert server.post("/api/v1/streams/", made)[0] == 201
    model = {"name": "m", "stream": "s", "recipe": "runtime"}
    assert server.post("/api/v1/models/", model)[0] == 201
    for n in range(1, 13):
        assert (
            server.post("/api/v1/streams/s/observations/", {"x": {"x": n, "y": 2 * n, "z": 3}, "y": 10.0 * n})[0] == 201
        )
        if n == 6:
            then = predicted(server)
    return server, then, predicted(server)


def predicted(server):
    xs = [dict(zip("xyz", row, strict=True)) for row in ROWS.tolist()]
    status, answer = server.post("/api/v1/models/m/predict/", {"xs": xs})
    assert status == 200, answer
    return answer["predictions"]


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_predicts_what_the_native_api_predicts(served, binary):
    from tritonclient import http
    from tritonclient.utils import InferenceServerException

    server, then, now = served
    with http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("m")
        assert not client.is_model_ready("none")
        assert client.get_server_metadata()["name"] == "tailrace"
        assert client.get_model_metadata("m")["inputs"][0] == {"name": "x", "datatype": "FP64", "shape": [-1]}
        tensors = []
        for name, values in zip("xyz", ROWS.T, strict=True):
            tensors.append(http.InferInput(name, [2], "FP64"))
            tensors[-1].set_data_from_numpy(np.ascontiguousarray(values), binary_data=binary)
        result = client.infer("m", tensors)
        assert result.as_numpy("prediction").tolist() == now
        assert (result.as_numpy("low") < result.as_numpy("high")).all()
        whole = http.InferInput("input", [2, 3], "FP32")
        whole.set_data_from_numpy(ROWS.astype("f4"), binary_data=binary)
        wanted = [http.InferRequestedOutput("prediction", binary_data=binary)]
        result = client.infer("m", [whole], model_version="6", outputs=wanted, request_id="mine")
        assert result.as_numpy("prediction").tolist() == then
        assert (result.get_response()["model_version"], result.get_response()["id"]) == ("6", "mine")
        whole.set_data_from_numpy(np.full((2, 3), np.nan, "f4"))
        with pytest.raises(InferenceServerException, match="expected a finite number"):
            client.infer("m", [whole])
        with pytest.raises(InferenceServerException, match="no version 99"):
            client.infer("m", tensors, model_version="99")


def test_the_client_made_from_the_schema_predicts_what_the_native_api_predicts(served):
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.errors import BadRequestError, NotFoundError
    from open_inference.openapi.types import InferenceRequest, RequestInput

    server, then, now = served
    client = OpenInferenceClient(base_url=server.url)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("m")
    client.check_model_version_readiness("m", "6")
    with pytest.raises(NotFoundError):
        client.check_model_version_readiness("m", "99")
    assert client.read_server_metadata().name == "tailrace"
    assert [tensor.name for tensor in client.read_model_metadata("m").outputs] == ["prediction", "low", "high"]
    tensor = RequestInput(name="input", shape=[2, 3], datatype="FP64", data=ROWS.ravel().tolist())
    found = client.model_infer("m", request=InferenceRequest(inputs=[tensor]))
    assert found.outputs[0].data.__root__ == now
    found = client.model_version_infer("m", "6", request=InferenceRequest(inputs=[tensor]))
    assert (found.outputs[0].data.__root__, found.model_version) == (then, "6")
    wrong = RequestInput(name="input", shape=[2, 4], datatype="FP64", data=[1.0] * 8)
    with pytest.raises(BadRequestError) as caught:
        client.model_infer("m", request=InferenceRequest(inputs=[wrong]))
    assert "expected 3, x, y, z" in caught.value.body["error"]
