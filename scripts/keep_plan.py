"""What keeping one cloud removes and changes, worked out without touching a file. The rules are in `keep.toml`."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from scripts import keep_edit

RULES: Final = Path(__file__).with_name("keep.toml")


class KeepError(Exception):
    """The project cannot be cut down; the text says why and what helps."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """What is one cloud's alone. The fields are explained in `keep.toml`."""

    name: str
    title: str
    words: tuple[str, ...]
    paths: tuple[str, ...]
    headings: tuple[str, ...]
    imports: tuple[str, ...]
    needs: tuple[str, ...]
    keywords: tuple[str, ...]

    def owns(self, path: str) -> bool:
        """Whether a file's path, or a word in it, says that it is this cloud's."""
        return any(keep_edit.has_word(path, word) for word in self.words) or any(
            matches(path, pattern) for pattern in self.paths
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All of `keep.toml`."""

    clouds: Mapping[str, Cloud]
    top: frozenset[str]
    groups: frozenset[str]
    dropped: tuple[str, ...]
    follows: tuple[str, ...]
    also: Mapping[str, tuple[str, ...]]
    replaced: tuple[Mapping[str, str], ...]

    @classmethod
    def read(cls, path: Path = RULES) -> Rules:
        """Read the rules."""
        data = tomllib.loads(path.read_text("utf-8"))
        clouds = {
            name: Cloud(name, found.pop("title"), **{key: tuple(value) for key, value in found.items()})
            for name, found in data["clouds"].items()
        }
        shared = data["shared"]
        return cls(
            clouds,
            frozenset(shared["top"]),
            frozenset(shared["groups"]),
            tuple(shared["dropped"]),
            tuple(shared["follows"]),
            {pattern: tuple(names) for pattern, names in data["also"].items()},
            tuple(data["replace"]),
        )

    def owners(self, path: str) -> frozenset[str]:
        """The clouds that a file belongs to; empty for a shared one."""
        owners = {name for name, cloud in self.clouds.items() if cloud.owns(path)}
        for pattern, names in self.also.items():
            if matches(path, pattern):
                owners.update(names)
        return frozenset(owners)


@dataclass(slots=True)
class Plan:
    """What is to be done: files that go, and the new text of those that change."""

    cloud: Cloud
    removed: set[str] = field(default_factory=set)
    changed: dict[str, str] = field(default_factory=dict)


def matches(path: str, pattern: str) -> bool:
    """Whether a path fits a pattern in which ``*`` stays within a folder and ``**`` does not."""
    if "**" in pattern:
        return fnmatchcase(path, pattern)
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def plan(root: Path, files: Sequence[str], rules: Rules, name: str) -> Plan:
    """Work out what keeping the cloud ``name`` does to a project's ``files``, paths below ``root``.

    Raises:
        KeepError: there is no such cloud, or a shared module imports what would go.
    """
    if name not in rules.clouds:
        raise KeepError(f"{name!r} is no cloud. There is: {', '.join(rules.clouds)}. Say for example: CLOUD=aws")
    made = Plan(rules.clouds[name])
    others = [cloud for cloud in rules.clouds.values() if cloud.name != name]
    for path in files:
        owners = rules.owners(path)
        if (owners and name not in owners) or any(matches(path, pattern) for pattern in rules.dropped):
            made.removed.add(path)
    texts = _texts(root, (path for path in files if path not in made.removed))
    edited = {path: keep_edit.regions(text, name) for path, text in texts.items()}
    _follow(made, edited, rules, others, frozenset(files))
    for path, text in edited.items():
        if path in made.removed:
            continue
        final = _edit(path, text, made.removed, others, rules, name)
        if final != texts[path]:
            made.changed[path] = final
    return made


def _texts(root: Path, paths: Iterable[str]) -> dict[str, str]:
    found = {}
    for path in paths:
        if not (root / path).is_symlink():
            try:
                found[path] = (root / path).read_bytes().decode()
            except UnicodeDecodeError:
                continue
    return found


def _edit(path: str, text: str, removed: set[str], others: Sequence[Cloud], rules: Rules, name: str) -> str:
    for rule in rules.replaced:
        if rule["file"] == path:
            text = text.replace(rule["old"], rule["new"].format(cloud=name))
    if path == "Makefile":
        return keep_edit.makefile(
            text, removed, [word for cloud in others for word in (*cloud.words, *_packages(removed))]
        )
    if path == "pyproject.toml":
        return keep_edit.pyproject(
            text,
            groups=[cloud.name for cloud in others],
            items=[*_packages(removed), *(keyword for cloud in others for keyword in cloud.keywords)],
            needs=[need for cloud in others for need in cloud.needs],
            imports=[package for cloud in others for package in cloud.imports],
        )
    if path.endswith(".md"):
        headings = [heading for cloud in others for heading in cloud.headings]
        return keep_edit.markdown(text, str(PurePosixPath(path).parent), removed, headings)
    if path.endswith(".py"):
        return keep_edit.registries(text, path, removed)
    return text


def _packages(removed: Iterable[str]) -> list[str]:
    """The folders at the top that hold a removed package."""
    return sorted(
        {path.partition("/")[0] for path in removed if path.count("/") == 1 and path.endswith("/__init__.py")}
    )


def _follow(made: Plan, texts: Mapping[str, str], rules: Rules, others: Sequence[Cloud], files: frozenset[str]) -> None:
    """Let go what imports something that goes, and what imports that, until nothing more goes."""
    imported = {path: frozenset(imports(text)) for path, text in texts.items() if path.endswith(".py")}
    modules = {module_of(path) for path in files if path.endswith(".py")}
    foreign = tuple(package for cloud in others for package in cloud.imports if package not in made.cloud.imports)
    while True:
        gone = {module_of(path) for path in made.removed if path.endswith(".py")}
        found = {
            path: names
            for path, wanted in imported.items()
            if path not in made.removed and (names := _lost(wanted, gone, modules, foreign))
        }
        if not found:
            return
        for path, names in found.items():
            if path.partition("/")[0] not in rules.follows:
                raise KeepError(
                    f"{path} is shared and imports {', '.join(sorted(names))}: put the import into a region"
                )
            made.removed.add(path)


def _lost(wanted: Iterable[str], gone: set[str], modules: set[str], foreign: Sequence[str]) -> set[str]:
    tops = {module.partition(".")[0] for module in modules}
    lost = set()
    for name in wanted:
        top = name.partition(".")[0]
        if top in tops:
            if (name if name in modules else name.rpartition(".")[0]) in gone:
                lost.add(name)
        elif any(fnmatchcase(top, package) for package in foreign):
            lost.add(name)
    return lost


def module_of(path: str) -> str:
    """The dotted name of a Python file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(text: str) -> Iterator[str]:
    """Every absolute name that a module imports, at any depth: ``a.b`` for ``from a import b`` as well."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
