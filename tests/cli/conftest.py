"""One local run for each test process, emptied after every test that used it, and commands called in this process."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.target import SECONDS, load_cloud
from tests import planted
from tests.cli.helpers import Run, clean_environment, running

Invoke = Callable[..., Result]


class Services:
    """The emulated services of a run, as its state file names them, past the fault proxies' switches."""

    def __init__(self, run: Run) -> None:
        state = run.state()
        before = dict(os.environ)
        cloud = load_cloud(state["cloud"])
        # The clients take their addresses from the environment while they are made, and so with the first call.
        cloud.use(state["env"])
        try:
            self._store = cloud.store(state["store"], SECONDS, 4)
            self._secret = cloud.secret(state["secret"])
            self._store.list("", 1, SECONDS)
            self._secret.read()
        finally:
            os.environ.clear()
            os.environ.update(before)

    @property
    def secret(self) -> str:
        """What stands in the secret store."""
        return self._secret.read() or ""

    @secret.setter
    def secret(self, text: str) -> None:
        self._secret.write(text)

    def put(self, key: str, body: bytes) -> None:
        """Write an object into the store."""
        self._store.put(key, body, {}, SECONDS)

    def get(self, key: str) -> bytes:
        """An object of the store."""
        return self._store.get(key, SECONDS).body

    def keys_below(self, prefix: str) -> list[str]:
        """The keys of the store below a prefix."""
        return [entry.key for entry in self._store.list(prefix, 1000, SECONDS)]

    def empty(self) -> None:
        """Nothing in the store, and the planted key alone in the secret store."""
        for key in self.keys_below(""):
            self._store.delete(key, SECONDS)
        if self.secret != planted.KEY:
            self.secret = planted.KEY


@pytest.fixture(autouse=True)
def _same_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands change the environment for the SDK; the next test must not find that."""
    before = dict(os.environ)
    for name in set(before) - clean_environment().keys():
        monkeypatch.delenv(name)
    logger = logging.getLogger("httpx")
    monkeypatch.setattr(logger, "level", logging.WARNING)
    yield
    monkeypatch.undo()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def session_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Services]]:
    """A local run with the planted key, and its emulated services."""
    with running(tmp_path_factory.mktemp("run"), "--redrive-every", "0", DASTRA_SIGNATURE_KEYS=planted.KEY) as run:
        yield run, Services(run)


@pytest.fixture
def run(session_run: tuple[Run, Services], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The local run, empty and without faults, as the present directory."""
    run, services = session_run
    monkeypatch.chdir(run.folder)
    run.faults(queue="none", store="none", keys="none")
    services.empty()
    run.forget_messages()
    return run


@pytest.fixture
def services(session_run: tuple[Run, Services]) -> Services:
    """The services that the local run emulates."""
    return session_run[1]


@pytest.fixture
def invoke() -> Invoke:
    """Calls the program with arguments in this process; fails when a key shows up in what it says."""

    def call(*arguments: str, stdin: str | bytes | None = None, **environment: str) -> Result:
        result = CliRunner().invoke(app, arguments, input=stdin, env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        for key in (planted.KEY, planted.NEWER_KEY, planted.OTHER_KEY):
            assert key not in result.output
        return result

    return call


@pytest.fixture
def as_json(invoke: Invoke) -> Callable[..., Any]:
    """Calls a command with --json, which must succeed and print JSON alone; what it printed, parsed."""

    def call(*arguments: str, code: int = 0, **environment: str) -> Any:
        result = invoke(*arguments, "--json", **environment)
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout)

    return call


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the planted key, and a line end as editors leave it."""
    path = tmp_path / "key.txt"
    path.write_text(planted.KEY + "\n")
    path.chmod(0o600)
    return path
