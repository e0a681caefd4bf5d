"""Tries a deployment from end to end in a real Azure subscription, under a throwaway name: `make smoke-azure`.

    python scripts/smoke_azure.py --subscription ID --dry-run     shows every command, runs none
    python scripts/smoke_azure.py --subscription ID               asks first; about 20 minutes, cents

It needs azd and az, both signed in, and the right to create resources and assign roles. In order: the Bicep compiler;
`azd up`, again where a role is not known everywhere yet; before there is a key, an unsigned request (401) and a signed
one (503); an invented key into the vault; then genuine events plain, in chunks, too large for the queue, and no JSON
(held), each read back; what must be refused; the log and every alarm's query on what was logged; `azd down`, also after
a failure. The azd environment that was the default before is so again.

Whoever wrote this had no subscription at hand: nothing of it has been run against Azure. What the project's own tests
cannot know is what this is for: whether Azure takes the templates, the roles are enough, and lines arrive as queries
read them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.event import Event, Verification  # noqa: E402 - after the path is set
from core.message import event_id  # noqa: E402
from core.signature import SignatureKey, sign  # noqa: E402

Json = dict[str, Any]

NEVER_RUN: Final = "This script has never been run against a real subscription."
PATIENCE_SECONDS: Final = 600
"""Roles and log lines take minutes to be everywhere."""
DEPLOYMENTS: Final = 3
PAUSE_SECONDS: Final = 120
"""Between two attempts to deploy: a role that the first one gave may open nothing yet."""
LOGS: Final = "https://api.loganalytics.azure.com/v1/workspaces"


class SmokeError(Exception):
    """A step did not give what it must; the text says what came instead."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """One run. In a dry run every command is shown and none is run."""

    subscription: str
    region: str
    name: str
    keep: bool
    dry_run: bool

    def run(self) -> None:
        """Deploy, use, delete.

        Raises:
            SmokeError: a step failed; the deployment is deleted all the same, unless ``keep``.
        """
        self._command(["az", "bicep", "build", "--file", "infra/azure/main.bicep", "--stdout"])
        default = self._default()
        self._azd("env", "new", self.name, "--subscription", self.subscription, "--location", self.region)
        try:
            # This machine's address is on no list, and its events must reach the queue all the same.
            self._azd("env", "set", "SOURCE_IP_MODE", "observe")
            self._deploy()
            self._use(json.loads(self._azd("env", "get-values", "--output", "json") or "{}"))
        finally:
            self._leave(default)

    def _leave(self, default: str) -> None:
        """Delete what was made, and leave azd as it was."""
        try:
            if self.keep:
                say(f"Kept. Delete it with: azd down --purge --environment {self.name}")
            else:
                self._azd("down", "--force", "--purge")
        finally:
            # A new environment is the default one, and whoever works here would deploy there next.
            if default:
                self._azd("env", "select", default)
        if not self.keep:
            self._azd("env", "remove", self.name, "--force")

    def _default(self) -> str:
        """The azd environment that is used where none is named; empty for none."""
        listed = self._azd("env", "list", "--output", "json")
        if self.dry_run:
            return "YOURS"
        return next((str(found["Name"]) for found in json.loads(listed) or () if found["IsDefault"]), "")

    def _deploy(self) -> None:
        for attempt in range(1, DEPLOYMENTS + 1):
            try:
                self._azd("up")
            except subprocess.CalledProcessError as error:
                say(str(error.stdout)[-2000:])
                if attempt == DEPLOYMENTS:
                    raise
                say(f"  attempt {attempt} of {DEPLOYMENTS} failed; a role may not be known everywhere yet")
                say(f"  again in {PAUSE_SECONDS} seconds")
                time.sleep(PAUSE_SECONDS)
            else:
                return

    def _use(self, values: Mapping[str, str]) -> None:
        url = values.get("WEBHOOK_URL", "https://func-dastra.azurewebsites.net/api/receive")
        key, other = SignatureKey(str(uuid.uuid4())), SignatureKey(str(uuid.uuid4()))
        first = invented()
        self._until("an unsigned request is refused", lambda: post(url, first, None)[0] == 401)
        self._expect("a signed request without a key", lambda: post(url, first, sign(first, key))[0], 503)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "key"
            file.write_text(key.reveal(), "utf-8")
            self._until(
                "the key is in the vault",
                lambda: self._try_az(
                    *("keyvault", "secret", "set", "--vault-name", values.get("KEY_VAULT_NAME", "kv-dastra")),
                    *("--name", "dastra-signature-keys", "--file", str(file), "--output", "none"),
                ),
                shown=True,
            )
        self._until("a genuine event is accepted", lambda: post(url, first, sign(first, key)) == (200, "accepted"))
        large = invented(padding="x" * 300_000)
        chunked = invented()
        self._expect("one that the queue does not take", lambda: post(url, large, sign(large, key)), (200, "accepted"))
        self._expect(
            "one sent in chunks", lambda: post(url, chunked, sign(chunked, key), chunked=True), (200, "accepted")
        )
        self._expect("one that is no JSON", lambda: post(url, b"[]", sign(b"[]", key)), (200, "quarantined"))
        self._expect("a wrong signature", lambda: post(url, first, sign(first, other))[0], 401)
        self._expect("another method", lambda: post(url, b"", None, method="GET")[0], 405)
        for body in (first, large, chunked):
            self._until("its message is there, as a consumer reads it", partial(received, values, body, key))
        self._look_at_logs(values)
        self._look_at_metrics(values)

    def _look_at_logs(self, values: Mapping[str, str]) -> None:
        lines = 'AppTraces | where Message startswith "{" | extend line = parse_json(Message)'
        for event in ("accepted", "quarantined", "bad_signature", "no_key", "redrive"):
            query = f'{lines} | where tostring(line.message) == "{event}"'
            self._until(f"a line of {event} is in the log", partial(self._finds, values, query), shown=True)
        found = self._rows(values, f"{lines} | where isnotempty(line.source_ip) | distinct tostring(line.source_ip)")
        say(f"    addresses in the log, to compare with your own: {found}")
        requests = self._rows(values, "AppRequests | summarize count() by OperationName, ResultCode")
        say(f"    requests as the host reports them: {requests}")
        rules = f"{self._group(values)}/providers/Microsoft.Insights/scheduledQueryRules?api-version=2023-12-01"
        for rule in self._rest("get", f"https://management.azure.com{rules}").get("value", []):
            criterion = rule["properties"]["criteria"]["allOf"][0]
            say(f"    {rule['name']}: {len(self._rows(values, criterion['query']))} rows")

    def _look_at_metrics(self, values: Mapping[str, str]) -> None:
        site = f"{self._group(values)}/providers/Microsoft.Web/sites/{values.get('FUNCTION_APP_NAME', 'func-dastra')}"
        listed = self._az("monitor", "metrics", "list-definitions", "--resource", site, "--query", "[].name.value")
        if not self.dry_run:
            has = "reports" if "Http5xx" in json.loads(listed) else "DOES NOT report"
            say(f"    Flex Consumption {has} Http5xx, which platform_error_5xx watches")

    def _group(self, values: Mapping[str, str]) -> str:
        group = values.get("AZURE_RESOURCE_GROUP", f"rg-{self.name}")
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}"

    def _rows(self, values: Mapping[str, str], query: str) -> list[Any]:
        url = f"{LOGS}/{values.get('LOG_WORKSPACE_ID', 'WORKSPACE')}/query"
        given = json.dumps({"query": query, "timespan": "PT2H"})
        tables = self._rest("post", url, given, "https://api.loganalytics.io").get("tables", [])
        return list(tables[0]["rows"]) if tables else []

    def _finds(self, values: Mapping[str, str], query: str) -> bool:
        return bool(self._rows(values, query))

    def _rest(self, method: str, url: str, body: str | None = None, resource: str | None = None) -> Json:
        answer: Json = json.loads(
            self._az(
                *("rest", "--method", method, "--url", url),
                *(("--body", body, "--headers", "Content-Type=application/json") if body else ()),
                *(("--resource", resource) if resource else ()),
            )
            or "{}"
        )
        return answer

    # -- commands

    def _az(self, *arguments: str) -> str:
        return self._command(["az", *arguments, "--subscription", self.subscription, "--only-show-errors"])

    def _try_az(self, *arguments: str) -> bool:
        try:
            self._az(*arguments)
        except subprocess.CalledProcessError:
            return False
        return True

    def _azd(self, *arguments: str) -> str:
        # These say which one by themselves, or mean all.
        named = arguments[0] == "env" and arguments[1] in ("list", "new", "remove", "select")
        return self._command(["azd", *arguments, *(() if named else ("--environment", self.name)), "--no-prompt"])

    def _command(self, command: Sequence[str]) -> str:
        say(f"$ {shlex.join(command)}")
        if self.dry_run:
            return ""
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout

    def _expect(self, what: str, look: Callable[[], object], wanted: object) -> None:
        if self.dry_run:
            say(f"  {what}: must be {wanted!r}")
            return
        found = look()
        if found != wanted:
            raise SmokeError(f"{what}: {found!r} instead of {wanted!r}")
        say(f"  ok: {what}: {wanted!r}")

    def _until(self, what: str, look: Callable[[], bool], *, shown: bool = False) -> None:
        if self.dry_run:
            say(f"  until {what}{':' if shown else ''}")
            _ = shown and look()
            return
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not look():
            if time.monotonic() > ends_at:
                raise SmokeError(f"not so after {PATIENCE_SECONDS} seconds: {what}")
            time.sleep(10)
        say(f"  ok: {what}")


def say(text: str) -> None:
    """Tell what happens."""
    print(text, flush=True)


def invented(**data: str) -> bytes:
    """An event as Dastra sends it, all of it invented, and never twice the same."""
    fields = {"invented": True, "nonce": secrets.token_hex(8), **data}
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return json.dumps({"webhookId": 1, "eventType": "TaskCreation", "date": moment, "data": fields}).encode()


def post(
    url: str, body: bytes, signature: str | None, *, method: str = "POST", chunked: bool = False
) -> tuple[int, str]:
    """Send a request as Dastra does; the status and the word of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", timeout=30)
    headers = {"Content-Type": "application/json", **({"Dastra-Signature": signature} if signature else {})}
    try:
        if chunked:
            pieces = (body[start : start + 100] for start in range(0, len(body), 100))
            connection.request(method, parts.path, pieces, headers, encode_chunked=True)
        else:
            connection.request(method, parts.path, body, headers)
        answer = connection.getresponse()
        word = re.search(rb'"(?:status|error)": ?"([a-z ]+)"', answer.read())
    except OSError as error:
        return 0, type(error).__name__
    finally:
        connection.close()
    return answer.status, word[1].decode() if word else ""


def received(values: Mapping[str, str], body: bytes, key: SignatureKey) -> bool:
    """Whether the event of a body is on the queue, the way a consumer reads it; then it is completed.

    Raises:
        SmokeError: it is there, and not as it must be.
    """
    from azure.identity import AzureCliCredential
    from azure.servicebus import ServiceBusClient
    from azure.storage.blob import ContainerClient

    from azure_function.consumer import blob_fetch

    credential = AzureCliCredential()
    host, _, queue = values["DASTRA_QUEUE"].partition("/")
    fetch = blob_fetch(ContainerClient.from_container_url(values["DASTRA_STORE"], credential))
    with ServiceBusClient(host, credential) as client, client.get_queue_receiver(queue, max_wait_time=10) as receiver:
        for message in receiver.receive_messages(max_message_count=20, max_wait_time=10):
            if message.message_id != event_id(body):
                receiver.abandon_message(message)
                continue
            properties = message.application_properties or {}
            attributes = {_text(name).removeprefix("cloudEvents:"): _text(value) for name, value in properties.items()}
            event = Event.from_message(b"".join(message.body), attributes, keys=[key], fetch=fetch)
            receiver.complete_message(message)
            if (event.body, event.verification) != (body, Verification.VALID) or not event.unlisted_address:
                raise SmokeError(f"the message of {event.id} is {event.verification}, or has another body")
            return True
    return False


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, then run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0], epilog=NEVER_RUN)
    parser.add_argument("--subscription", required=True, help="best one that is used for nothing else")
    parser.add_argument("--region", default="francecentral")
    parser.add_argument("--keep", action="store_true", help="do not delete it at the end")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show every command, run none")
    options = parser.parse_args(arguments)
    name = f"dastra-smoke-{secrets.token_hex(3)}"
    smoke = Smoke(options.subscription, options.region, name, options.keep, options.dry_run)
    say(NEVER_RUN)
    if not (options.yes or options.dry_run):
        say(f"It deploys {name} to the subscription {options.subscription} in {options.region}, which costs a few")
        say("cents, and deletes it again. Role assignments are part of it.")
        try:
            answer = input("Type yes to go on: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            say("Nothing was done.")
            return 1
    try:
        smoke.run()
    except (SmokeError, subprocess.CalledProcessError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    say("Dry run: nothing was done." if options.dry_run else "All as it must be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
