"""Leaves a project of one cloud: `make keep CLOUD=aws`, once, in a fork that will never need the other two.

It removes the other clouds' folders, infrastructure, tests, dependencies, targets and pages, and brings the lock file
in line. What belongs to whom is said in `keep.toml`. It shows what it will do and asks; git has the way back.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import keep_edit  # noqa: E402 - after the path is set
from scripts.keep_plan import KeepError, Plan, Rules, plan  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Show, ask, do."""
    parser = argparse.ArgumentParser(prog="make keep", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("cloud", help="the cloud that stays")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    try:
        rules = Rules.read()
        made = plan(ROOT, tracked(ROOT), rules, options.cloud)
        show(made)
        if options.dry_run:
            print("\nNothing was done (--dry-run).")
            return 0
        refuse_dirty(ROOT)
        if not options.yes and input("\nDo this? [yes/no] ").strip().lower() != "yes":
            print("Nothing was done.")
            return 1
        apply(ROOT, made)
        lock(ROOT)
    except KeepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except EOFError:
        print("\nNothing was done.")
        return 1
    report(made, rules)
    return 0


def tracked(root: Path) -> list[str]:
    """The files that git knows, below ``root``."""
    names = _git(root, "ls-files", "-z").rstrip("\0").split("\0")
    return [name for name in names if (root / name).exists()]


def refuse_dirty(root: Path) -> None:
    """Raise where something is not committed: the way back is git's, and it would take that along."""
    if lines := _git(root, "status", "--porcelain").splitlines():
        raise KeepError(f"{len(lines)} files are not committed ({lines[0][3:]} …). Commit or stash them first.")


def _git(root: Path, *arguments: str) -> str:
    try:
        run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        raise KeepError("git was not found; this works in a clone, where git can bring everything back") from None
    if run.returncode:
        raise KeepError(f"git {arguments[0]}: {run.stderr.strip()}")
    return run.stdout


def show(made: Plan) -> None:
    """Print what goes and what changes, the folders with their counts."""
    print(f"Keep {made.cloud.title}.\n\nThese files go ({len(made.removed)}):")
    for folder, count in folded(made.removed, tracked(ROOT)).items():
        print(f"  {folder}" + (f"/  ({count} files)" if count > 1 else ""))
    print(f"\nThese change ({len(made.changed)}), and uv.lock with them:")
    for path in sorted(made.changed):
        print(f"  {path}")


def folded(removed: Set[str], files: Sequence[str]) -> dict[str, int]:
    """Files by name, and a folder in place of its files where all of them go, with their number."""
    staying = {str(parent) for path in files if path not in removed for parent in PurePosixPath(path).parents}
    shown = Counter(
        next((str(parent) for parent in reversed(PurePosixPath(path).parents) if str(parent) not in staying), path)
        for path in removed
    )
    return dict(sorted(shown.items()))


def apply(root: Path, made: Plan) -> None:
    """Remove and write; folders that are empty afterwards go too."""
    for path in sorted(made.removed):
        (root / path).unlink()
        for parent in (root / path).parents:
            if parent == root or not _only_caches(parent):
                break
            for cache in parent.rglob("*"):
                if cache.is_file():
                    cache.unlink()
            for folder in sorted((path for path in parent.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            parent.rmdir()
    for path, text in made.changed.items():
        (root / path).write_bytes(text.encode())


def _only_caches(folder: Path) -> bool:
    return all(path.is_dir() or path.parent.name == "__pycache__" for path in folder.rglob("*"))


def lock(root: Path) -> None:
    """Bring uv.lock in line; exact versions of what stays do not move."""
    print("\nBringing uv.lock in line", flush=True)
    if subprocess.run([sys.executable, str(root / "scripts/uv.py"), "lock", "--quiet"], check=False).returncode:
        raise KeepError("everything else is done, but uv.lock could not be written (see above). Then: make lock")


def report(made: Plan, rules: Rules) -> None:
    """Print what a person should look at."""
    print(f"\nDone: {len(made.removed)} files removed, {len(made.changed)} changed.")
    words = [
        word for name, cloud in rules.clouds.items() if name != made.cloud.name for word in (cloud.title, *cloud.words)
    ]
    mentions = Counter(
        {
            path.relative_to(ROOT).as_posix(): sum(
                any(keep_edit.has_word(line, word) for word in words) for line in path.read_text("utf-8").splitlines()
            )
            for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
        }
    )
    if left := [f"{path} ({count} lines)" for path, count in mentions.most_common() if count]:
        print("Prose still speaks of the others, where a sentence is about more than one: " + ", ".join(left))
    print("Next:  make check\n       git add --all && git commit -m 'Keep one cloud'")
    print("Back:  git restore --staged --worktree .")


if __name__ == "__main__":
    sys.exit(main())
