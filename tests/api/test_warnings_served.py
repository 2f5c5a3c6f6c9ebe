"""Every worker of a real server has seen the same, after each post and after a kill."""

from concurrent.futures import ThreadPoolExecutor


def test_every_worker_warns_alike(serve):
    server = serve(workers=2, threads=16)
    assert server.post("/api/v1/streams/", {"name": "s", "target": {"name": "t", "unit": "s"}})[0] == 201
    assert server.post("/api/v1/models/", {"name": "m", "stream": "s", "recipe": "mean"})[0] == 201

    def warned(_):
        status, answer = server.post("/api/v1/models/m/predict/", {"x": {"a": -1, "k": 1}})
        assert status == 200, answer
        return tuple(one["message"] for one in answer["warnings"])

    with ThreadPoolExecutor(8) as pool:
        for last in (5, 9):
            for n in range(last):
                body = {"x": {"a": n, "k": "uv"[n % 2]}, "y": 1.0}
                assert server.post("/api/v1/streams/s/observations/", body)[0] == 201
            expected = (
                "x.k is 1: it has always been a category (seen: 'u', 'v')",
                f"x.a is -1: outside of what was seen (seen: 0 to {last - 1})",
            )
            assert set(pool.map(warned, range(40))) == {expected}
        server.kill()
        server.start()
        assert set(pool.map(warned, range(20))) == {expected}
