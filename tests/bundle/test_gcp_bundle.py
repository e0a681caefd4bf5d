"""The source folder as the buildpack takes it: its requirements in a clean environment, served from it alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.local.gcp_emulator import PROJECT
from scripts import build_gcp
from scripts.python313 import find_python
from tests import planted
from tests.contract.answers import ACCEPTED, SPOOLED, UNAUTHORIZED
from tests.contract.bypass import signed, unsigned
from tests.drivers import LISTED, HttpRequest, Mode, Platform, Port
from tests.drivers.gcp import GcpDriver
from tests.drivers.gcp_process import running
from tests.unit.api_stub import API_KEY, api_stub

pytestmark = [pytest.mark.emulator, pytest.mark.slow]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> build_gcp.Source:
    """The folder, built from the present code."""
    return build_gcp.build(tmp_path_factory.mktemp("gcp") / "source")


@pytest.fixture(scope="module")
def python(source: build_gcp.Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the folder's requirements, each by its hash, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    wanted = find_python() or Path(sys.executable)  # 3.13, as the deployed runtime, where there is one
    uv = [sys.executable, str(build_gcp.ROOT / "scripts/uv.py")]
    for command in (
        [*uv, "venv", "--quiet", "--python", str(wanted), str(folder / "v")],
        [
            *(*uv, "pip", "install", "--quiet", "--python", str(folder / "v"), "--require-hashes", "--no-deps"),
            *("--only-binary", ":all:", "--requirements", str(source.folder / "requirements.txt")),
        ],
    ):
        subprocess.run(command, check=True)
    return folder / "v/bin/python"


@pytest.fixture
def gcp(platform_of: Callable[[str], Platform]) -> Iterator[GcpDriver]:
    """A deployment behind fault proxies."""
    with platform_of("gcp").deploy() as deployed:
        assert isinstance(deployed, GcpDriver)
        yield deployed


def test_the_folder_is_what_the_buildpack_looks_for(source: build_gcp.Source) -> None:
    """main.py and requirements.txt at its root, our two packages, and nothing that could be uploaded by mistake."""
    names = {path.name for path in source.folder.iterdir()}
    assert names == {"main.py", "requirements.txt", ".gcloudignore", "LICENSE", "core", "gcp_function"}
    requirements = (source.folder / "requirements.txt").read_text()
    assert {"functions-framework", "google-cloud-pubsub", "pydantic"} <= set(source.packages)
    assert not {"boto3", "typer", "pytest", "azure-functions"} & set(source.packages)
    assert requirements.count("--hash=sha256:") > len(source.packages)
    assert "://" not in requirements
    assert ".env" in (source.folder / ".gcloudignore").read_text().splitlines()
    assert source.size < 5_000_000


def test_the_same_code_gives_the_same_folder(source: build_gcp.Source, tmp_path: Path) -> None:
    """Byte for byte, so that a deployment of unchanged code is recognised as one."""
    assert build_gcp.build(tmp_path / "again").digest == source.digest
    (tmp_path / "again" / "left-over.py").write_text("")
    assert build_gcp.build(tmp_path / "again").digest == source.digest
    assert not (tmp_path / "again" / "left-over.py").exists()


def test_it_serves_from_the_folder_alone(
    source: build_gcp.Source, python: Path, gcp: GcpDriver, tmp_path: Path
) -> None:
    """Webhook and redrive, the failure path with its late imports included, under the framework that it brings."""
    gcp.put_keys(planted.KEY)
    names = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST")
    env = {
        **{name: os.environ[name] for name in names},
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "DASTRA_QUEUE": gcp.topic,
        "DASTRA_STORE": gcp.bucket,
        "DASTRA_SIGNATURE_KEYS_SECRET": gcp.secret,
        "DASTRA_SOURCE_IP_ALLOWLIST": LISTED,
    }
    command = (str(python), "-P", "-m", "functions_framework")
    main = source.folder / "main.py"
    with running(tmp_path, env, source=main, folder=source.folder, command=command) as function:
        assert function.post(signed()) == ACCEPTED
        assert function.post(unsigned()) == UNAUTHORIZED
        gcp.fault(Port.QUEUE, Mode.ERROR_503)
        kept = signed()
        assert function.post(kept) == SPOOLED
        gcp.lift()
    with running(tmp_path, env, target="redrive", source=main, folder=source.folder, command=command) as function:
        assert json.loads(function.post(HttpRequest(b"")).body) == {"sent": 1, "failed": 0, "skipped": False}
    assert gcp.messages()[-1].body == kept.body
    gcp.put_secret(API_KEY)
    with api_stub() as api:
        more = {"DASTRA_API_KEY_SECRET": gcp.secret, "DASTRA_API_URL": api.url}
        with running(tmp_path, env | more, target="watch", source=main, folder=source.folder, command=command) as check:
            assert json.loads(check.post(HttpRequest(b"")).body) == {"webhooks": 1, "errors": 0, "blocked": 0}
    listed = subprocess.run(
        [str(python), "-c", "import sys, google.pubsub_v1; print([p for p in sys.path if p])"],
        cwd=source.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(build_gcp.ROOT) not in listed.stdout
