"""``python -m reliability fuzz``."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.exits import CliError, Exit
from cli.options import JsonOption
from cli.output import BAD, GOOD, Output, make_console, plural
from reliability.fuzz import corpus
from reliability.fuzz.mutate import WORDS, mutations
from reliability.fuzz.targets import NAMES
from reliability.tools import FUZZ, make
from scripts.tool_env import ROOT

_FOUND: Final = ROOT / "build/fuzz"
_PROGRESS: Final = re.compile(r"^#(\d+)\t.*\bcov: (\d+).*?corp: (\d+)")


def fuzz(
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"What: {', '.join(NAMES)}. May be repeated; without it all.", show_default=False
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Inputs for each target.")] = 250_000,
    seed: Annotated[int, typer.Option(min=1, help="Where chance begins.")] = 1,
    blind: Annotated[
        bool,
        typer.Option("--blind", help="Replay what is kept and change it blindly: seconds, and needs no fuzzer."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Afterwards keep, of old and new inputs, those that add coverage.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Give the entry points and screening inputs without end, and check what each promises of any input.

    Nobody without the key is ever accepted, kept or answered 5xx; whoever has it is answered 200 and found once in a
    durable place, byte for byte; and no key, signature or planted word is logged or answered. Ends with 1 at the first
    input that breaks a promise, which is shown and written to build/fuzz.

    Inputs are steered by coverage, with atheris in an environment of its own that the first run makes.

    Examples:
      python -m reliability fuzz --target screening --runs 1000000
      python -m reliability fuzz --blind --runs 5000
    """
    out = Output(as_json, make_console(file=sys.stdout))
    if unknown := [name for name in target or () if name not in NAMES]:
        raise CliError(f"{unknown[0]!r} is no target.", f"There is: {', '.join(NAMES)}", Exit.USAGE)
    names = target or list(NAMES)
    if blind and len(names) > 1:
        # Each changes its process for good.
        results = [_in_a_process(name, runs, seed) for name in out.each(names, "Fuzzing")]
    elif blind:
        results = [_blindly(names[0], runs, seed)]
    else:
        with out.status("Making the fuzzer's environment (once)"):
            make(FUZZ)
        results = [_guided(name, runs, seed, keep, out) for name in names]
    if as_json:
        out.data(results)
    else:
        columns = [(title, "keep" if title == "target" else "right") for title in results[0] if title != "failure"]
        out.table(columns, [[str(result[title]) for title, _ in columns] for result in results])
    for result in results:
        if failure := result["failure"]:
            out.stderr.print(str(failure), style=BAD)
    if any(result["failure"] for result in results):
        raise typer.Exit(Exit.FAILED)
    if not as_json:
        out.say(("right  ", GOOD), f"{plural(sum(result['inputs'] for result in results), 'input')}, no promise broken")


def _in_a_process(name: str, runs: int, seed: int) -> dict[str, Any]:
    words = ("fuzz", "--blind", "--json", "--target", name, "--runs", str(runs), "--seed", str(seed))
    command = [sys.executable, "-m", "reliability", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)  # noqa: S603 - our own words
    if not done.stdout:
        raise CliError(f"the target {name} did not start:", done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def _blindly(name: str, runs: int, seed: int) -> dict[str, Any]:
    from reliability.fuzz.targets import load

    stdout, target = sys.stdout, load(name)
    kept = corpus.read(name)
    started, inputs, failure = time.monotonic(), 0, None
    for data in itertools.chain(kept, itertools.islice(mutations(kept, seed), runs)):
        try:
            target(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not happen
            failure = f"{name}: {type(error).__name__}: {error}\n  input: {data!r}"
            break
        inputs += 1
    sys.stdout = stdout
    seconds = round(time.monotonic() - started, 1)
    return {"target": name, "inputs": inputs, "seconds": seconds, "kept inputs": len(kept), "failure": failure}


def _guided(name: str, runs: int, seed: int, keep: bool, out: Output) -> dict[str, Any]:
    folder = _FOUND / name
    shutil.rmtree(folder, ignore_errors=True)
    corpus.unpack(name, folder / "corpus")
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS), "ascii")
    options = (f"-runs={runs}", f"-seed={seed}", f"-max_len={corpus.MOST_BYTES}", f"-dict={words}", "-timeout=20")
    command = [str(FUZZ.python), "-m", "reliability.fuzz.guided", name]
    tail: list[str] = []
    started, result = time.monotonic(), (0, 0, 0)
    with out.bar(f"Fuzzing {name}", runs) as progress:
        child = subprocess.Popen(  # noqa: S603 - our own program
            [*command, *options, f"-artifact_prefix={folder}/", str(folder / "corpus")],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for line in child.stderr or ():
            tail = [*tail[-40:], line]
            if match := _PROGRESS.match(line):
                result = (int(match[1]), int(match[2]), int(match[3]))
                if progress is not None:
                    progress.update(progress.task_ids[0], completed=result[0])
        status = child.wait()
    failure = None
    if status != 0:
        failure = f"{name}: the fuzzer ended with {status}; the input is in {folder.relative_to(ROOT)}\n{''.join(tail)}"
    elif keep:
        _keep(name, folder)
    return {
        "target": name,
        "inputs": result[0],
        "seconds": round(time.monotonic() - started, 1),
        "coverage": result[1],
        "kept inputs": len(corpus.read(name)),
        "failure": failure,
    }


def _keep(name: str, folder: Path) -> None:
    """Keep as few inputs as have the coverage of all, in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from reliability.fuzz import corpus, targets; "
        "name, folder = sys.argv[1:]; "
        "inputs = [path.read_bytes() for path in Path(folder).iterdir()]; "
        "corpus.write(name, corpus.least(targets.load(name), inputs))"
    )
    command = [sys.executable, "-c", program, name, str(folder / "corpus")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603 - our own words
    if done.returncode != 0:
        raise CliError(f"the inputs of {name} were not kept:", done.stderr[-2000:].decode("utf-8", "replace"))


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word[:64])
