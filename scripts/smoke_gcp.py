"""Deploys the receiver to a real project of Google Cloud under a throwaway name, uses it, and deletes it again.

    python scripts/smoke_gcp.py --project ID --alarm-email ADDRESS --dry-run     shows every command, runs none
    python scripts/smoke_gcp.py --project ID --alarm-email ADDRESS               asks first; about 15 minutes, cents

It needs gcloud, signed in, with the right to make all of it, and what `make build-gcp` stages. In order: deploy.sh; an
invented key into the secret; a forged request (401); a genuine one (200) that is then pulled and compared byte for
byte; the redrive by hand, whose line must be in the log; every alarm looked for by its label; destroy.sh.

The project's own tests run none of this: they have no account. Run it before you rely on a change to infra/gcp.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import secrets
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli.doctor.gcp import EXPECTED  # noqa: E402 - after the path is set
from core.signature import SignatureKey, sign  # noqa: E402

T = TypeVar("T")

INFRA: Final = ROOT / "infra/gcp"
PATIENCE_SECONDS: Final = 300
PAUSE_SECONDS: Final = 10


class SmokeError(Exception):
    """Something was not as it must be."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """One run. Nothing is done in a dry run; every command is shown all the same."""

    project: str
    region: str
    alarm_email: str
    name: str
    dry_run: bool

    def run(self, keep: bool) -> None:
        """Deploy, use, delete.

        Raises:
            SmokeError: a step did not give what it must; the deployment is deleted all the same, unless ``keep``.
        """
        try:
            self._deploy()
            self._use()
        finally:
            if keep:
                print(f"Kept. Delete it with: {shlex.join(self._script('destroy.sh'))}")
            else:
                self._call([*self._script("destroy.sh"), "--yes", "--with-stored-events"])

    def _deploy(self) -> None:
        # This machine's address is on no list, and its event must reach the queue all the same.
        options = ["--alarm-email", self.alarm_email, "--source-ip-mode", "observe", "--max-instances", "2"]
        self._call([*self._script("deploy.sh"), *options])

    def _use(self) -> None:
        key = SignatureKey(str(uuid.uuid4()))
        self._gcloud("secrets", "versions", "add", f"{self.name}-keys", "--data-file=-", given=key.reveal())
        url = self._gcloud(
            *("functions", "describe", f"{self.name}-receive", "--gen2", f"--region={self.region}"),
            "--format=value(serviceConfig.uri)",
        ).strip()
        body = json.dumps(
            {
                "webhookId": 1,
                "eventType": "DataSubjectCreation",
                "date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
                "data": {"invented": True, "nonce": secrets.token_hex(8)},
            }
        ).encode()
        if self.dry_run:
            print(f"POST {url or 'the webhook'}, once forged and once signed; then until the message is there:")
        else:
            forged = sign(body, SignatureKey(str(uuid.uuid4())))
            # 503 first, as long as an instance has not seen that there is a key now.
            until("a forged request is refused", lambda: post(url, body, forged) == 401)
            until("a signed request", lambda: post(url, body, sign(body, key)) == 200)
        self._see("the message on the queue", lambda: self._pulled(body))
        self._gcloud("scheduler", "jobs", "run", f"{self.name}-redrive", f"--location={self.region}")
        self._see("the redrive's line in the log", self._redrive_logged)
        self._see(f"{len(EXPECTED)} alarms, each once", lambda: self._alarms() == sorted(EXPECTED))

    def _pulled(self, body: bytes) -> bool:
        answer = self._gcloud(
            "pubsub", "subscriptions", "pull", f"{self.name}-events", "--auto-ack", "--limit=10", "--format=json"
        )
        for received in json.loads(answer or "[]"):
            message: dict[str, Any] = received["message"]
            if base64.b64decode(message["data"]) == body:
                attributes = message["attributes"]
                expect("ce-id", attributes.get("ce-id"), hashlib.sha256(body).hexdigest())
                expect("ce-type", attributes.get("ce-type"), "eu.dastra.DataSubjectCreation")
                expect("ce-sourceipcheck", attributes.get("ce-sourceipcheck"), "unlisted")
                return True
        return False

    def _redrive_logged(self) -> bool:
        service = f'resource.labels.service_name="{self.name}-redrive"'
        wanted = f'{service} AND jsonPayload.message="redrive" AND jsonPayload.spool_count>=0'
        return bool(json.loads(self._gcloud("logging", "read", wanted, "--limit=1", "--format=json") or "[]"))

    def _alarms(self) -> list[str]:
        wanted = f'--filter=userLabels.app="{self.name}"'
        found = self._gcloud("alpha", "monitoring", "policies", "list", wanted, "--format=json")
        return sorted(policy["userLabels"]["alarm"] for policy in json.loads(found or "[]"))

    def _script(self, script: str) -> list[str]:
        where = ["--project", self.project, "--region", self.region, "--name", self.name]
        return ["bash", str(INFRA / script), *where, *(["--dry-run"] if self.dry_run else [])]

    def _see(self, what: str, look: Callable[[], bool]) -> None:
        if self.dry_run:
            look()
        else:
            until(what, look)

    def _gcloud(self, *arguments: str, given: str | None = None) -> str:
        command = ["gcloud", *arguments, f"--project={self.project}", "--quiet"]
        if self.dry_run:
            print(shlex.join(command))
            return ""
        return subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout

    def _call(self, command: list[str]) -> None:
        print(f"\n$ {shlex.join(command)}", flush=True)
        subprocess.run(command, check=True)


def post(url: str, body: bytes, signature: str) -> int:
    """Post as Dastra does; the answer's status, or 0 where there is none within Dastra's 10 seconds."""
    headers = {"Content-Type": "application/json", "Dastra-Signature": signature}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def expect(what: str, found: object, wanted: object) -> None:
    """Say that it is so.

    Raises:
        SmokeError: it is not.
    """
    if found != wanted:
        raise SmokeError(f"{what}: found {found!r}, wanted {wanted!r}")
    print(f"ok: {what} is {wanted!r}", flush=True)


def until(what: str, look: Callable[[], bool]) -> None:
    """Look again until it is so: keys, messages and log lines take their time.

    Raises:
        SmokeError: it is not, after five minutes.
    """
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not look():
        if time.monotonic() > ends_at:
            raise SmokeError(f"{what}: not there after {PATIENCE_SECONDS} seconds")
        time.sleep(PAUSE_SECONDS)
    print(f"ok: {what}", flush=True)


def main() -> int:
    """Ask, then run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True, help="a project's id; best one that is used for nothing else")
    parser.add_argument("--alarm-email", required=True, help="where the alarms of the throwaway deployment go")
    parser.add_argument("--region", default="europe-west1")
    parser.add_argument("--keep", action="store_true", help="do not delete it at the end")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show every command, run none")
    options = parser.parse_args()
    name = f"dw-smoke-{secrets.token_hex(3)}"
    smoke = Smoke(options.project, options.region, options.alarm_email, name, options.dry_run)
    if not (options.yes or options.dry_run):
        print(f"This deploys {name} to the project {options.project} in {options.region}, which costs a few cents,")
        print("and deletes it again. Service accounts, roles on the project and enabled services are part of it.")
        if input("Type yes to go on: ").strip().lower() != "yes":
            print("Nothing was done.")
            return 1
    try:
        smoke.run(options.keep)
    except (SmokeError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\nDry run: nothing was done." if options.dry_run else "\nAll as it must be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
