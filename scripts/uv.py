"""Runs this project's uv and passes the arguments on: `python3 scripts/uv.py sync --locked`.

It is the uv on PATH where that is recent enough, otherwise the one that `uv.lock` pins, put into `.tools` once with its
hash checked: by pip in a virtual environment, or, where Debian's python3 comes without both, by the standard library.

Needs Python 3.11 and nothing else. TLS goes through the system's certificates, so that a proxy which re-signs works.
"""

import hashlib
import http.client
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
OLDEST = (0, 9)
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")


@dataclass(frozen=True)
class Wheel:
    """One built uv: its address, its SHA-256 in hex, its size in bytes."""

    url: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Pin:
    """The uv that `uv.lock` holds."""

    version: str
    wheels: tuple[Wheel, ...]


def read_pin(lock: Path) -> Pin:
    """Reads the pinned uv out of a lock file."""
    packages = tomllib.loads(lock.read_text("utf-8"))["package"]
    entry = next(package for package in packages if package["name"] == "uv")
    wheels = (Wheel(w["url"], w["hash"].removeprefix("sha256:"), w["size"]) for w in entry["wheels"])
    return Pin(entry["version"], tuple(wheels))


def version_of(uv: Path) -> tuple[int, ...] | None:
    """The version of an installed uv, or None where it does not run: a shim may stand on PATH and lead nowhere."""
    try:
        run = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"uv (\d+)\.(\d+)\.(\d+)", run.stdout)
    return tuple(map(int, found.groups())) if run.returncode == 0 and found else None


def environment() -> dict[str, str]:
    """The environment for uv and pip: the system's certificates, this interpreter, this project's `.venv`."""
    env = dict(os.environ)
    # An activated environment, or one named by the caller's shell, is not the one that the Makefile uses.
    for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"):
        env.pop(name, None)
    env["UV_PYTHON"] = interpreter()
    env["UV_PYTHON_DOWNLOADS"] = "never"
    if sys.platform == "darwin":
        env.setdefault("UV_SYSTEM_CERTS", "true")
    bundle = env.get("SSL_CERT_FILE") or next((path for path in BUNDLES if Path(path).is_file()), "")
    if Path(bundle).is_file():
        env["SSL_CERT_FILE"] = bundle
        env.setdefault("PIP_CERT", bundle)
    return env


def interpreter() -> str:
    """The Python under any virtual environment that is active: one that outlives the project's `.venv`."""
    return str(getattr(sys, "_base_executable", sys.executable))


def install_with_pip(pin: Pin, env: dict[str, str]) -> bool:
    """Installs the pinned uv into a virtual environment at `.tools`. False where Python lacks venv or pip."""
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, "uv.txt")
        hashes = " ".join(f"--hash=sha256:{wheel.sha256}" for wheel in pin.wheels)
        requirements.write_text(f"uv=={pin.version} {hashes}\n", "utf-8")
        made = subprocess.run([interpreter(), "-m", "venv", TOOLS], env=env, capture_output=True, check=False)
        if made.returncode:
            return False
        pip = [str(TOOLS / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:"]
        # pip's own words say best why it failed: a proxy, a mirror without this version, no network. Not on standard
        # output, which is uv's: a build may be reading it.
        command = [*pip, "--require-hashes", "-r", str(requirements)]
        if subprocess.run(command, env=env, stdout=sys.stderr, check=False).returncode:
            sys.exit(f"uv {pin.version} could not be installed. Install uv yourself, put it on PATH and try again.")
    return True


def tags() -> Iterator[str]:
    """The ends of the file names of the wheels that run here, best first."""
    machine = platform.machine()
    if sys.platform == "darwin":
        yield f"macosx_11_0_{machine}.whl"
        yield f"macosx_10_12_{machine}.whl"
    elif "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        yield f"musllinux_1_1_{machine}.whl"
    else:
        yield f"manylinux2014_{machine}.whl"
        # One file serves both C libraries on some machines.
        yield f"musllinux_1_1_{machine}.whl"


def install_from_lock(pin: Pin, env: dict[str, str]) -> None:
    """Fetches the pinned wheel and unpacks its one program. For a Debian with python3 alone."""
    wheel = next((w for tag in tags() for w in pin.wheels if w.url.endswith(tag)), None)
    if wheel is None:
        sys.exit(
            f"No uv {pin.version} is built for this machine ({platform.machine()}). Install uv and put it on PATH."
        )
    print(f"Fetching uv {pin.version} ({wheel.size / 1e6:.0f} MB)", file=sys.stderr)
    os.environ.update({name: env[name] for name in ("SSL_CERT_FILE",) if name in env})
    try:
        with urllib.request.urlopen(wheel.url, timeout=60) as answer:
            content = answer.read(wheel.size + 1)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(
            f"uv {pin.version} could not be fetched: {error}\n"
            "Check the network, the proxy and the certificates (Debian: apt-get install ca-certificates),\n"
            "or install python3-venv (Debian: apt-get install python3-venv), or uv itself, and try again."
        )
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        sys.exit(f"What came as uv {pin.version} is not what uv.lock names. Nothing was installed.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        program = TOOLS / "bin/uv"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_bytes(archive.read(member))
        program.chmod(0o755)


def find_uv(env: dict[str, str]) -> Path:
    """Finds a uv that will do, or installs the pinned one. Exits with a sentence where neither is possible."""
    on_path = shutil.which("uv")
    if on_path and (version_of(Path(on_path)) or ()) >= OLDEST:
        return Path(on_path)
    pin = read_pin(ROOT / "uv.lock")
    ours = TOOLS / "bin/uv"
    if version_of(ours) != tuple(map(int, pin.version.split("."))):
        print(
            f"No uv {'.'.join(map(str, OLDEST))} or newer on PATH: putting uv {pin.version} into .tools",
            file=sys.stderr,
        )
        # What an interrupted run left behind is not built upon.
        shutil.rmtree(TOOLS, ignore_errors=True)
        if not install_with_pip(pin, env):
            shutil.rmtree(TOOLS, ignore_errors=True)
            install_from_lock(pin, env)
    return ours


def main() -> None:
    """Replaces this process by uv, in the project's root."""
    env = environment()
    uv = find_uv(env)
    os.chdir(ROOT)
    os.execve(uv, ["uv", *sys.argv[1:]], env)


if __name__ == "__main__":
    main()
