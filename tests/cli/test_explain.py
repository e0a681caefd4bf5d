"""`explain` as a person uses it: where request and keys come from, what is shown, and what never is."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from cli.exits import Exit
from core.signature import SignatureKey
from tests import planted
from tests.cli.conftest import Invoke, Services
from tests.cli.helpers import PROGRAM, Run, clean_environment
from tests.cli.test_explain_captures import har, har_entry, raw

AsJson = Callable[..., Any]
FINGERPRINT: Final = SignatureKey(planted.KEY).fingerprint


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No local run is up in the present directory, unless a test asks for one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """A genuine request."""
    path = tmp_path / "request.http"
    path.write_bytes(raw(planted.body()))
    return path


def test_a_right_signature(invoke: Invoke, request_file: Path, key_file: Path) -> None:
    """It is right: exit code 0, and the key by its fingerprint and place; no key, signature or body is shown."""
    result = invoke("explain", str(request_file), "--key-file", str(key_file))
    assert result.exit_code == Exit.DONE
    assert f"The signature is right: it was made with the key {FINGERPRINT} ({key_file})." in result.stdout
    assert planted.found_in(result.output) == []


def test_an_explained_mismatch(invoke: Invoke, as_json: AsJson, tmp_path: Path, key_file: Path) -> None:
    """Exit code 1; each reason with what to do, the proof, and the same in JSON."""
    body = json.dumps(planted.envelope()).encode()
    signed = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    value = f"sha256={planted.signature(signed)}"
    path = tmp_path / "request.http"
    path.write_bytes(f"POST / HTTP/1.1\nDastra-Signature: {value}\n\n".encode() + body)
    result = invoke("explain", str(path), "--key-file", str(key_file))
    assert result.exit_code == Exit.FAILED
    for said in (
        "The signature does not match. The reason:",
        "1. A prefix such as `sha256=`",
        "2. What was signed is the same JSON without white space.",
        "3. What was signed is the same JSON with its characters as they are",
        f"with this undone, the signature is right for the key {FINGERPRINT}",
        f"{len(body)} bytes arrived, {len(signed)} were signed; they part at byte",
    ):
        assert said in result.stdout
    assert result.stdout.count("request.get_data() in Flask") == 1
    assert planted.found_in(result.output) == []
    said = as_json("explain", str(path), "--key-file", str(key_file), code=Exit.FAILED)
    assert (said["verdict"], said["valid"], said["key"]) == ("explained", False, FINGERPRINT)
    assert [item["code"] for item in said["because"]] == ["signature_prefixed", "json_compact", "json_raw_utf8"]
    assert planted.found_in(json.dumps(said)) == []


def test_an_unexplained_mismatch(invoke: Invoke, as_json: AsJson, tmp_path: Path, key_file: Path) -> None:
    """Exit code 1 too, told apart in the JSON; the fingerprints that were tried and the next steps are said."""
    path = tmp_path / "request.http"
    body = planted.body()
    path.write_bytes(raw(body).replace(planted.signature(body).encode(), planted.signature(b"another").encode()))
    result = invoke("explain", str(path), "--key-file", str(key_file))
    assert result.exit_code == Exit.FAILED
    assert "nothing that usually goes wrong explains it" in result.stdout
    assert f"{FINGERPRINT} ({key_file})" in result.stdout
    assert "dastra-webhooks key list" in result.stdout
    said = as_json("explain", str(path), "--key-file", str(key_file), code=Exit.FAILED)
    assert (said["verdict"], said["because"], said["complete"]) == ("unexplained", [], True)


def test_a_search_that_may_take_no_time(invoke: Invoke, tmp_path: Path, key_file: Path) -> None:
    """`--seconds 0` ends the search, and it is said that it was not complete."""
    (tmp_path / "body").write_bytes(planted.body())
    value = planted.signature(b"another")
    result = invoke("explain", "--body", "body", "--signature", value, "--key-file", str(key_file), "--seconds", "0")
    assert result.exit_code == Exit.FAILED
    assert "the time ran out, see --seconds" in result.stdout


def test_the_parts_by_themselves(invoke: Invoke, tmp_path: Path, key_file: Path) -> None:
    """Body and signature may be given apart; the signature as a value, a file, a file's header line, or on stdin."""
    body = planted.body()
    value = planted.signature(body)
    (tmp_path / "body").write_bytes(body)
    (tmp_path / "value").write_text(f"{value}\n")
    (tmp_path / "line").write_text(f"dastra-signature: {value}\r\n")
    for given, stdin in ((value, None), ("@value", None), ("@line", None), ("-", f"{value}\n")):
        result = invoke("explain", "--body", "body", "--signature", given, "--key-file", str(key_file), stdin=stdin)
        assert result.exit_code == Exit.DONE, (given[:1], result.output)
    result = invoke("explain", "--body", "-", "--signature", value, "--key-file", str(key_file), stdin=body)
    assert result.exit_code == Exit.DONE


def test_a_capture_whose_body_is_elsewhere(invoke: Invoke, tmp_path: Path, key_file: Path) -> None:
    """`--body` beside a capture replaces its body: for `curl -v`, which shows the head only."""
    body = planted.body()
    (tmp_path / "shown.txt").write_text(f"> POST / HTTP/1.1\n> Dastra-Signature: {planted.signature(body)}\n> \n")
    (tmp_path / "body").write_bytes(body)
    assert invoke("explain", "shown.txt", "--body", "body", "--key-file", str(key_file)).exit_code == Exit.DONE


def test_stdin_is_the_capture(invoke: Invoke, key_file: Path) -> None:
    """`-` reads the whole request from stdin."""
    result = invoke("explain", "-", "--key-file", str(key_file), stdin=raw(planted.body()))
    assert result.exit_code == Exit.DONE


def test_an_entry_of_a_har(invoke: Invoke, tmp_path: Path, key_file: Path) -> None:
    """With several signed requests the error lists them; `--entry` picks one."""
    (tmp_path / "x.har").write_bytes(har(har_entry(planted.body()), har_entry(planted.body())))
    result = invoke("explain", "x.har", "--key-file", str(key_file))
    assert result.exit_code == Exit.USAGE
    assert "say which with --entry NUMBER" in result.stderr
    assert invoke("explain", "x.har", "--entry", "2", "--key-file", str(key_file)).exit_code == Exit.DONE
    assert invoke("explain", "x.har", "--entry", "3", "--key-file", str(key_file)).exit_code == Exit.NOT_FOUND


def test_a_right_signature_is_shown_only_when_asked_for(
    invoke: Invoke, as_json: AsJson, tmp_path: Path, key_file: Path
) -> None:
    """`--show-signature` shows what the header should be for this very body, and nothing else does."""
    body = planted.body()
    right = planted.signature(body)
    (tmp_path / "body").write_bytes(body)
    given = ("explain", "--body", "body", "--signature", planted.signature(body + b" "), "--key-file", str(key_file))
    assert right not in invoke(*given).output
    assert right not in json.dumps(as_json(*given, code=Exit.FAILED))
    shown = invoke(*given, "--show-signature")
    assert shown.exit_code == Exit.FAILED
    assert f"{right}  (key {FINGERPRINT})" in shown.stdout
    assert as_json(*given, "--show-signature", code=Exit.FAILED)["expected_signatures"] == {FINGERPRINT: right}


# -- keys --------------------------------------------------------------------------------------------------------------


def test_keys_of_the_environment(invoke: Invoke, request_file: Path) -> None:
    """The setting's keys are all tried, and the one that signed is named."""
    result = invoke("explain", str(request_file), DASTRA_SIGNATURE_KEYS=f"{planted.NEWER_KEY},{planted.KEY}")
    assert result.exit_code == Exit.DONE
    assert f"{FINGERPRINT} (DASTRA_SIGNATURE_KEYS)" in result.stdout


def test_another_configured_key_is_named(invoke: Invoke, request_file: Path, tmp_path: Path) -> None:
    """With the wrong key file, the key of the environment that signed is named by its fingerprint."""
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(planted.OTHER_KEY)
    wrong.chmod(0o600)
    result = invoke("explain", str(request_file), "--key-file", str(wrong), DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == Exit.FAILED
    other = SignatureKey(planted.OTHER_KEY).fingerprint
    assert f"with another key: {FINGERPRINT} (DASTRA_SIGNATURE_KEYS), not {other}." in result.stdout


def test_no_key_and_nobody_to_ask(invoke: Invoke, request_file: Path) -> None:
    """Without a key and without a terminal it says where a key can come from."""
    result = invoke("explain", str(request_file))
    assert result.exit_code == Exit.USAGE
    assert "Set DASTRA_SIGNATURE_KEYS, or pass --key-file FILE" in result.stderr


def test_the_prompt_shows_nothing(request_file: Path) -> None:
    """On a terminal the key is asked for, and what is typed does not appear."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "explain", str(request_file)], stdin=child, stdout=child, stderr=child,
        cwd=request_file.parent, env=clean_environment(), start_new_session=True,
    )  # fmt: skip
    os.close(child)
    shown = b""
    try:
        while b"(nothing is shown): " not in shown:
            shown += os.read(parent, 4096)
        os.write(parent, planted.KEY.encode() + b"\n")
        while process.poll() is None or b"right" not in shown:
            try:
                shown += os.read(parent, 4096)
            except OSError:  # Linux's word for: the other end is closed
                break
        assert process.wait(20) == Exit.DONE
    finally:
        process.kill()
        process.wait(10)
        os.close(parent)
    assert b"Validation key from Dastra" in shown
    assert b"(the prompt)" in shown
    assert planted.KEY.encode() not in shown


def test_the_local_runs_keys(run: Run, invoke: Invoke, tmp_path: Path) -> None:
    """While a local run is up its keys are expected; and when another key was given, they are tried besides."""
    path = tmp_path / "request.http"
    path.write_bytes(raw(planted.body()))
    result = invoke("explain", str(path))
    assert result.exit_code == Exit.DONE
    assert f"{FINGERPRINT} (the local run at {run.url})" in result.stdout
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(planted.OTHER_KEY)
    wrong.chmod(0o600)
    result = invoke("explain", str(path), "--key-file", str(wrong))
    assert f"with another key: {FINGERPRINT} (the local run at {run.url})" in result.stdout


def test_a_deployment_without_keys(run: Run, services: Services, invoke: Invoke, tmp_path: Path) -> None:
    """A secret that holds no key is an error that says how to give it one."""
    services.secret = " "
    path = tmp_path / "request.http"
    path.write_bytes(raw(planted.body()))
    result = invoke("explain", str(path), "--local")
    assert result.exit_code == Exit.NO_DEPLOYMENT
    assert "dastra-webhooks key set" in result.stderr


# -- the local run's own requests --------------------------------------------------------------------------------------


def test_what_the_local_run_refused(run: Run, invoke: Invoke, as_json: AsJson) -> None:
    """`--last` takes the last request that the run refused, though genuine ones came after it."""
    body = planted.body()
    assert run.post(body, planted.signature(body, planted.KEY.upper())).status_code == 401
    assert run.post(planted.body()).status_code == 200
    said = as_json("explain", "--last", code=Exit.FAILED)
    assert [item["code"] for item in said["because"]] == ["key_upper_case"]
    assert said["size"] == len(body)


def test_a_large_request_of_the_local_run(run: Run, as_json: AsJson) -> None:
    """A body that the run's list shows in part is fetched whole."""
    body = planted.body(data="x" * 400_000)
    assert run.post(body, planted.signature(body + b"\n")).status_code == 401
    assert [item["code"] for item in as_json("explain", "--last", code=Exit.FAILED)["because"]] == ["newline_lost"]


def test_a_request_that_the_local_run_does_not_have(run: Run, invoke: Invoke) -> None:
    """A number that is none of the run's is not found."""
    result = invoke("explain", "--last", "--entry", "999999")
    assert result.exit_code == Exit.NOT_FOUND
    assert "has no request 999999" in result.stderr


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), Exit.USAGE, "what to explain is not said"),
        (("--body", "body"), Exit.USAGE, "a body alone has no signature"),
        (("gone.http",), Exit.USAGE, "gone.http is not there"),
        ((".",), Exit.USAGE, ". is not there, or is no file"),
        (("-", "--body", "-"), Exit.USAGE, "stdin (-) can be only one of these"),
        (("-", "--signature", "-"), Exit.USAGE, "stdin (-) can be only one of these"),
        (("--body", "body", "--signature", "@gone"), Exit.USAGE, "gone is not there"),
        (("--last", "request.http"), Exit.USAGE, "--last takes the request from the local run"),
        (("--last",), Exit.NO_DEPLOYMENT, "no local run is up"),
        (("large",), Exit.USAGE, "is larger than 32 MiB"),
        (("--body", "large", "--signature", "x"), Exit.USAGE, "is larger than 32 MiB"),
        (("empty",), Exit.USAGE, "empty is empty"),
    ],
)
def test_mistakes(
    invoke: Invoke, tmp_path: Path, request_file: Path, arguments: tuple[str, ...], code: Exit, said: str
) -> None:
    """Each mistake is named, with an exit code that tells it from a mismatch."""
    (tmp_path / "body").write_bytes(b"{}")
    (tmp_path / "empty").write_bytes(b"")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(33 * 1024 * 1024)
    result = invoke("explain", *arguments, DASTRA_SIGNATURE_KEYS=planted.KEY)
    assert result.exit_code == code
    assert said in result.stderr
