"""The smoke script's own steps, against a webhook on loopback and a gcloud that stands in for the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.doctor.gcp import EXPECTED
from core.signature import SignatureKey, sign
from scripts import smoke_gcp
from scripts.smoke_gcp import Smoke, SmokeError

STAND_IN = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$HERE/asked"
case "$*" in
  *"secrets versions add"*) cat >"$HERE/key" ;;
  *"functions describe"*) cat "$HERE/url" ;;
  *"subscriptions pull"*) cat "$HERE/messages" ;;
  *"logging read"*) echo '[{}]' ;;
  *"policies list"*) cat "$HERE/policies" ;;
esac
"""


def policies(*alarms: str) -> str:
    """Alarms as gcloud lists them."""
    return json.dumps([{"userLabels": {"app": "dw-smoke-1", "alarm": alarm}} for alarm in alarms])


@contextmanager
def webhook(here: Path, answers: list[int]) -> Iterator[None]:
    """A receiver that knows the key only after these answers, and puts what it accepts where the stand-in pulls."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if answers:
                status = answers.pop(0)
            else:
                key = SignatureKey((here / "key").read_text("utf-8"))
                status = 200 if self.headers["Dastra-Signature"] == sign(body, key) else 401
            if status == 200:
                attributes = {
                    "ce-id": hashlib.sha256(body).hexdigest(),
                    "ce-type": "eu.dastra.DataSubjectCreation",
                    "ce-sourceipcheck": "unlisted",
                }
                message = {"data": base64.b64encode(body).decode(), "attributes": attributes}
                (here / "messages").write_text(json.dumps([{"message": message}]), "utf-8")
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        (here / "url").write_text(f"http://127.0.0.1:{server.server_port}/\n", "utf-8")
        yield
        server.shutdown()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-ins are, and what they tell one another; nothing waits between two looks."""
    for name, text in (
        ("gcloud", STAND_IN),
        ("deploy.sh", 'echo "deploy $*" >>"$HERE/asked"\n'),
        ("destroy.sh", 'echo "destroy $*" >>"$HERE/asked"\n'),
    ):
        (tmp_path / name).write_text(text, "utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "policies").write_text(policies(*EXPECTED), "utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setattr(smoke_gcp, "INFRA", tmp_path)
    monkeypatch.setattr(smoke_gcp, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(smoke_gcp, "PATIENCE_SECONDS", 1)
    return tmp_path


def run(here: Path, *answers: int) -> list[str]:
    """One run; what was asked of gcloud and the scripts."""
    with webhook(here, list(answers)):
        Smoke("example-project", "europe-west1", "oncall@example.com", "dw-smoke-1", dry_run=False).run(keep=False)
    return (here / "asked").read_text("utf-8").splitlines()


def test_a_default_deployment_passes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the alarms that are there by default, also where the instances do not know the key yet."""
    asked = run(here, 503, 503, 401, 503)
    said = capsys.readouterr().out
    for step in ("a forged request is refused", "a signed request", "ce-id", f"{len(EXPECTED)} alarms, each once"):
        assert f"ok: {step}" in said
    assert asked[0].startswith("deploy ")
    assert (
        asked[-1]
        == "destroy --project example-project --region europe-west1 --name dw-smoke-1 --yes --with-stored-events"
    )


@pytest.mark.parametrize("wrong", [EXPECTED[1:], (*EXPECTED, EXPECTED[0]), (*EXPECTED[1:], "another")])
def test_an_alarm_too_few_or_too_many_fails(here: Path, wrong: tuple[str, ...]) -> None:
    """One that is missing, made twice, or not ours; and everything is deleted all the same."""
    (here / "policies").write_text(policies(*wrong), "utf-8")
    with pytest.raises(SmokeError, match=f"{len(EXPECTED)} alarms"):
        run(here)
    assert (here / "asked").read_text("utf-8").splitlines()[-1].startswith("destroy ")


def test_a_forged_request_that_is_taken_fails(here: Path) -> None:
    """A receiver that never says 401 does not pass, however often it is asked."""
    with pytest.raises(SmokeError, match="a forged request is refused"):
        run(here, *[200] * 10_000)
