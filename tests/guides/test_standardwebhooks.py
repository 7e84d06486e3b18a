"""The reference library of Standard Webhooks accepts what herald signs, also while the secret is being changed."""
import base64
import json
import os
import pathlib
import secrets
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import herald as h

MODULES = pathlib.Path(os.environ.get("HERALD_STANDARDWEBHOOKS", ROOT / "build/standardwebhooks"))
FIRST, SECOND, OTHER = ("whsec_" + base64.b64encode(secrets.token_bytes(n)).decode() for n in (24, 64, 32))
TEXT = "Günaydın 😀 \"quoted\" \\ </script>\u2028 and\na line"


def verify(secret, headers, body):
    """Whether the library accepts, and what it says."""
    assert (MODULES / "node_modules").is_dir(), f"no {MODULES}/node_modules; scripts/test installs it"
    done = subprocess.run(["node", ROOT / "tools/standardwebhooks/verify.js", secret, MODULES], text=True, timeout=60,
                          input=json.dumps({"headers": headers, "body": body}), capture_output=True)
    assert done.stderr == "", done.stderr
    return done.returncode == 0, done.stdout.strip()


@pytest.fixture
def request_signed_with(tmp_path):
    made = []

    def make(configured):
        sink = h.Sink()
        herald = h.Herald(tmp_path, WEBHOOK_URL=sink.url, WEBHOOK_SECRET=configured)
        made.append((herald, sink))
        herald.start()
        message = herald.create(TEXT)
        herald.wait_status(message["id"], "sent")
        herald.stop()
        (request,) = sink.requests
        headers = {k.lower(): v for k, v in request.headers.items() if k.lower().startswith("webhook-")}
        return headers, request.body.decode()
    yield make
    for herald, sink in made:
        herald.cleanup()
        sink.close()


def test_one_secret(request_signed_with):
    headers, body = request_signed_with(FIRST)
    good, payload = verify(FIRST, headers, body)
    assert good and json.loads(payload) == {"to": h.PHONE, "content": TEXT}
    assert not verify(OTHER, headers, body)[0]
    assert not verify(FIRST, headers, body.replace("and", "or"))[0]
    assert not verify(FIRST, {**headers, "webhook-id": "1"}, body)[0]
    late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
    assert not verify(FIRST, late, body)[0]


@pytest.mark.parametrize("configured", [f"{FIRST} {SECOND}", f"{SECOND},{FIRST}"], ids=["space", "comma"])
def test_two_secrets(request_signed_with, configured):
    headers, body = request_signed_with(configured)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (FIRST, SECOND):
        assert verify(secret, headers, body)[0]
    assert not verify(OTHER, headers, body)[0]
