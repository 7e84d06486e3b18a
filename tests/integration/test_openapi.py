"""The OpenAPI document is what it says it is: a linter has nothing to say, and the server does as told."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

LINT = pathlib.Path(__file__).parents[1] / "openapi"


@pytest.fixture(scope="module")
def redocly():
    """The pinned linter, installed beside its lock file when it is not there yet."""
    program = LINT / "node_modules/.bin/redocly"
    if not program.exists():
        if not shutil.which("npm"):
            pytest.skip("npm is not installed")
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=LINT, check=True,
                       timeout=300)
    return program


def test_lints_without_a_word(herald, redocly, tmp_path):
    document = herald().api.get("/openapi.json")
    assert document.status == 200
    assert document.headers["Content-Type"] == "application/json"
    file = tmp_path / "openapi.json"
    file.write_bytes(document.body)
    env = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    run = subprocess.run([redocly, "lint", "--extends", "recommended", "--format", "json", file], env=env,
                         capture_output=True, text=True, timeout=120)
    found = json.loads(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, found["problems"]


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
