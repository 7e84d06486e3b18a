"""The OpenAPI document is what it says it is: the server does as told. (`scripts/test openapi` lints it.)"""
import json


def test_the_server_serves_what_the_command_prints(herald):
    h = herald()
    served = h.api.get("/openapi.json")
    assert served.status == 200
    assert served.headers["Content-Type"] == "application/json"
    assert served.json == json.loads(h.run("openapi", HERALD_URL="").stdout)


def test_names_what_the_server_has(herald):
    h = herald()
    document = h.api.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    for path, item in document["paths"].items():
        allow = h.api.request("OPTIONS", path.replace("{id}", "1")).headers["Allow"].split(", ")
        assert {m.upper() for m in item} == set(allow) - {"HEAD", "OPTIONS"}, path
        for operation in item.values():
            assert "500" in operation["responses"] or operation["security"] == []


def test_group_keys_are_as_documented(herald):
    """Every operation that asks for a key refuses a client without one, and only those."""
    h = herald()
    for path, item in h.api.get("/openapi.json").json["paths"].items():
        for method, operation in item.items():
            a = h.api.request(method.upper(), path.replace("{id}", "1"), key=None)
            assert (a.status == 401) == bool(operation["security"]), (method, path, a)
