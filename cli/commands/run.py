"""`dastra-webhooks run`: the receiver on this machine, with everything it needs emulated."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import completion
from cli.exits import CliError, Exit
from cli.keys import VARIABLE
from cli.options import JsonOption
from cli.output import Output, make_console
from cli.samples import sample
from cli.sending import post
from cli.target import OWN_NAMES, QUEUE, SECRET, STORE
from core.ports import PortError
from core.settings import PREFIX, Settings, SettingsError
from core.signature import SignatureKey, parse_keys
from core.source_ip import PRESET

if TYPE_CHECKING:
    from cli.local.cloud import Handled, Start
    from cli.local.show import Screen

CLOUDS: Final[Mapping[str, str]] = {"aws": "cli.local.aws", "gcp": "cli.local.gcp", "azure": "cli.local.azure"}
"""Each cloud with the module that has its ``start`` (see ``cli.local.cloud``)."""
_LOOPBACK: Final = "127.0.0.1,::1"
_ALLOWLIST: Final = "DASTRA_SOURCE_IP_ALLOWLIST"
_OURS: Final = frozenset({VARIABLE, SECRET, QUEUE, STORE}) | OWN_NAMES
"""Settings that the run brings itself, and names that are no settings."""
_SAMPLE: Final = "DataSubjectMessage"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8080,
    cloud: Annotated[
        str,
        typer.Option(
            metavar="NAME", help=f"Which cloud's receiver: {', '.join(CLOUDS)}.", autocompletion=completion.clouds
        ),
    ] = "aws",
    redrive_every: Annotated[
        int,
        typer.Option(metavar="SECONDS", min=0, help="How often the spool goes back to the queue by itself; 0: never."),
    ] = 60,
    as_json: JsonOption = False,
) -> None:
    """Start the receiver on this machine: the real entry point before an emulated queue, store and secret store.

    Needs no account and no Docker, and listens on 127.0.0.1 only. It sends itself one signed sample event, shows what
    arrived on the queue, and then a line per request until Ctrl-C. All is in memory and gone afterwards. A console in
    the browser, at /_local/, shows each request with its verdict and why, and has buttons to send, break and mend.

    DASTRA_SIGNATURE_KEYS has the keys; without it one is made up and shown. Other DASTRA_ settings apply too; this
    machine's own address is added to the list of addresses, so that the mode can stay as it is.

    Examples:
      dastra-webhooks run
      dastra-webhooks run --port 9000
      DASTRA_SOURCE_IP_MODE=reject dastra-webhooks run
    """
    out = Output(as_json, make_console(file=sys.stdout))
    if cloud not in CLOUDS:
        raise CliError(f"{cloud!r} is no cloud.", f"There is: {', '.join(CLOUDS)}", Exit.USAGE)
    keys, made = _keys()
    settings = _settings(os.environ)
    stop = _Stop()
    with stop.on_signals():
        _serve(cloud, port, redrive_every, settings, keys, made, out, stop)


def _serve(
    cloud: str,
    port: int,
    redrive_every: int,
    settings: Mapping[str, str],
    keys: tuple[SignatureKey, ...],
    made: str | None,
    out: Output,
    stop: _Stop,
) -> None:
    from cli.local.console.recorder import Recorded, Recorder
    from cli.local.front import Front, Server, listen
    from cli.local.journal import Journal
    from cli.local.show import Screen
    from cli.local.state import FOLDER, RunState, find_run, started_at

    screen = Screen(out)
    with ExitStack() as stack:
        sock = stack.enter_context(listen(port))
        folder = _folder(Path(FOLDER))
        journal = Journal(folder / "receiver.log")
        stack.callback(journal.close)
        stack.enter_context(redirect_stdout(journal))
        logging.basicConfig(stream=journal, level=logging.WARNING, force=True)

        recorder = Recorder()

        def watch(handled: Handled) -> None:
            recorder.finish(handled)
            try:
                screen.handled(handled)
            except OSError:  # whoever read our output is gone, and with it the use of this run
                stop.end()

        with out.status("Starting the receiver and its emulated services"):
            start: Start = import_module(CLOUDS[cloud]).start
            local = stack.enter_context(start(settings, ",".join(key.reveal() for key in keys), journal, watch))
            from cli.local.console.api import Console
            from cli.local.console.places import Places
            from cli.local.controls import controls

        def switched(modes: Mapping[str, str]) -> None:
            screen.switched(modes)
            on = [f"{name} {mode}" for name, mode in modes.items() if mode != "none"]
            recorder.note("faults", ", ".join(on) or "none: everything works")

        def redriven(report: Mapping[str, Any]) -> None:
            screen.redriven(report)
            recorder.redriven(report)

        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        console = Console(recorder, Places(local, cloud, recorder), keys, cloud, local.title, url)
        app = Front(Recorded(local, recorder), controls(local, switched, redriven, console.routes()))
        stack.enter_context(Server(app, sock))
        stack.callback(recorder.close)
        notes = (
            [f"The local run at {other.url} stays up, but commands now find this one."] if (other := find_run()) else []
        )
        state = RunState(
            os.getpid(),
            started_at(os.getpid()),
            url,
            cloud,
            local.queue,
            local.store,
            local.secret,
            str(journal.path.resolve()),
            dict(local.environment),
        )
        state.write(folder)
        stack.callback(state.remove, folder)
        stop.ready()
        screen.started(local.title, url, made, [key.fingerprint for key in keys], str(journal.path), notes)
        _greet(url, keys[0], local.messages, screen)
        screen.how_to_send(url, made)
        screen.watching = recorder.recording = True
        if redrive_every:
            schedule = (local.redrive, redrive_every, redriven, screen, stop)
            threading.Thread(target=_redrive, args=schedule, name="redrive", daemon=True).start()
        stop.wait()
    screen.ended()


def _greet(url: str, key: SignatureKey, messages: Callable[[], list[dict[str, Any]]], screen: Screen) -> None:
    """Send one event through all of it, as proof, and show what arrived."""
    answer = post(url, sample(_SAMPLE).body, key)
    arrived = messages()
    screen.sample(answer, arrived[-1] if arrived else None)


def _redrive(
    run_once: Callable[[], Mapping[str, Any]],
    seconds: int,
    redriven: Callable[[Mapping[str, Any]], None],
    screen: Screen,
    stop: _Stop,
) -> None:
    """What the schedule does on a platform."""
    while not stop.wait(seconds):
        try:
            report = run_once()
        except PortError as error:
            if stop.is_set():
                return
            screen.trouble(f"the redrive cannot read the store ({error.code})")
            continue
        redriven(report)


def _keys() -> tuple[tuple[SignatureKey, ...], str | None]:
    """The keys of the environment; else a new one, in Dastra's form, and its text, which may be shown."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        made = str(uuid.uuid4())
        return (SignatureKey(made),), made
    try:
        return parse_keys(text), None
    except ValueError as error:
        raise CliError(f"{VARIABLE}: {error}.", "Unset it, and a key is made up.", Exit.USAGE) from None


def _settings(env: Mapping[str, str]) -> dict[str, str]:
    """The user's own settings, loopback added to the addresses.

    Raises:
        CliError: the receiver would not start with them.
    """
    settings = {name: value for name, value in env.items() if name.startswith(PREFIX) and name not in _OURS}
    settings[_ALLOWLIST] = f"{settings.get(_ALLOWLIST, '').strip() or PRESET},{_LOOPBACK}"
    try:
        Settings.from_env({**settings, QUEUE: "local", STORE: "local", SECRET: "local"})
    except SettingsError as error:
        raise CliError(
            "the receiver does not start with the DASTRA_ settings of your environment:",
            "\n".join(f"  {fault}" for fault in error.faults),
            Exit.USAGE,
        ) from None
    return settings


def _folder(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CliError(
            f"{path.resolve()} cannot be made: {(error.strerror or '').lower()}.",
            "Start the run in a directory that you can write to.",
            Exit.FAILED,
        ) from None
    return path


class _Stop:
    """Set by a signal. Until the run is up, a signal breaks off the start instead.

    A pipe and no lock: a handler may run inside another one, which would then wait for itself. The interpreter itself
    writes to the pipe when a signal comes, since one that comes just before a wait begins would not end it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._up = False
        self._broken_off = False

    def ready(self) -> None:
        self._up = True

    def is_set(self) -> bool:
        return self.wait(0)

    def end(self) -> None:
        with suppress(BlockingIOError):  # full of earlier ones
            os.write(self._writer, b".")

    def wait(self, seconds: float | None = None) -> bool:
        # What is in the pipe stays there: everybody who waits sees it.
        return bool(select.select([self._reader], [], [], seconds)[0])

    def signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's form
        if not self._up and not self._broken_off:
            self._broken_off = True
            raise _BrokenOff

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.signal) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            yield
        except _BrokenOff:
            pass
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                # Somebody who presses Ctrl-C twice wants the same as once.
                signal.signal(number, signal.SIG_IGN if self.is_set() else handler)


class _BrokenOff(BaseException):
    """A signal came while the run was starting."""
