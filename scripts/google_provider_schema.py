"""Writes `tests/deploy/data/google-provider.json`: what the Terraform resources of `infra/gcp` can have.

The provider itself is not needed. Its published Python bindings, packages named below, state every attribute of every
resource: a keyword of the class's constructor, required where it has no default. They are read and never imported.

    python scripts/google_provider_schema.py                       fetches the packages with pip, once
    python scripts/google_provider_schema.py --wheels DIRECTORY    takes them from where they are already

Run it when a resource type is added to `infra/gcp`, or the provider's version there is raised.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TERRAFORM = ROOT / "infra/gcp"
TARGET = ROOT / "tests/deploy/data/google-provider.json"
PACKAGE, BETA, VERSION = "cdktn-provider-google", "cdktn-provider-google-beta", "21.1.0"
# Terraform's own words, which every resource takes.
META = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners", "scope", "id_"}
TYPES = {"str": "string", "Number": "number", "bool": "bool"}

Tree = dict[str, Any]


def resource_types(directory: Path) -> list[str]:
    """The resource types of Google's provider that the files of a directory use."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(directory.glob("*.tf")))
    return sorted(set(re.findall(r'^resource "(google_\w+)"', text, re.MULTILINE)))


def beta_types(directory: Path) -> set[str]:
    """Those of them that say that they come from the beta provider."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(directory.glob("*.tf")))
    blocks = re.findall(r'^resource "(google_\w+)"[^\n]*\n(.*?)^}', text, re.MULTILINE | re.DOTALL)
    return {type_ for type_, body in blocks if re.search(r"^  provider += google-beta\b", body, re.MULTILINE)}


def names_in(annotation: ast.expr) -> Iterator[str]:
    """Every name in an annotation, also inside quotes; a dotted one by its last part."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.rpartition(".")[2]


class Bindings:
    """One module of the bindings: the classes of one resource."""

    def __init__(self, source: str) -> None:
        self._classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}

    def resource(self) -> Tree:
        """The tree of the module's resource: the one class that derives from `TerraformResource`."""
        (name,) = (
            name
            for name, node in self._classes.items()
            if any(isinstance(base, ast.Attribute) and base.attr == "TerraformResource" for base in node.bases)
        )
        return self._tree(name, name)

    def _tree(self, name: str, output: str) -> Tree:
        attributes: Tree = {}
        blocks: Tree = {}
        for keyword, annotation, required in self._keywords(name):
            if keyword in META:
                continue
            names = set(names_in(annotation))
            nested = next((each for each in sorted(names) if each in self._classes), None)
            many = "Sequence" in names
            if nested is not None:
                inner = self._tree(nested, f"{nested}OutputReference")
                blocks[keyword] = {"required": required, "many": many, **inner}
                continue
            kind = next(TYPES[each] for each in ("bool", "Number", "str") if each in names)
            form: Any = ["list", kind] if many else ["map", kind] if "Mapping" in names else kind
            attributes[keyword] = {"type": form, "required": required}
        for attribute, form in self._computed(output):
            if attribute not in attributes and attribute not in blocks:
                attributes[attribute] = {"type": form, "required": False, "computed": True}
        return {"attributes": attributes, "blocks": blocks}

    def _keywords(self, name: str) -> Iterator[tuple[str, ast.expr, bool]]:
        (init,) = (n for n in self._classes[name].body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
        for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
            if argument.annotation is not None:
                yield argument.arg, argument.annotation, default is None

    def _computed(self, name: str) -> Iterator[tuple[str, Any]]:
        """What can only be read: a property of plain text or a number that has no setter's counterpart."""
        for node in self._classes[name].body if name in self._classes else []:
            if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Attribute):
                kind = TYPES.get(node.returns.attr)
                decorated = any("property" in set(names_in(decorator)) for decorator in node.decorator_list)
                if kind and decorated and not node.name.endswith("_input") and node.name != "fqn":
                    yield node.name, kind


def fetch(directory: Path) -> None:
    """Fetches the packages with pip."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(directory)]
    subprocess.run([*pip, *(f"{package}=={VERSION}" for package in (PACKAGE, BETA))], check=True)


def read(wheels: Path, types: list[str], beta: set[str]) -> Tree:
    """The file's content, from a directory with the wheels of the bindings."""
    versions, sources = set(), {}
    # The modules of the beta provider keep the prefix that the others drop.
    for package, module in ((PACKAGE, "{}"), (BETA, "google_{}")):
        name = package.replace("-", "_")
        with zipfile.ZipFile(next(wheels.glob(f"{name}-{VERSION}-*.whl"))) as archive:
            (metadata,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            versions |= set(re.findall(r"provider version (\d[\d.]*\d)", archive.read(metadata).decode())[:1])
            for type_ in types:
                if (type_ in beta) is (package == BETA):
                    path = f"{name}/{module.format(type_.removeprefix('google_'))}/__init__.py"
                    sources[type_] = archive.read(path).decode()
    (version,) = versions
    return {
        "source": f"{PACKAGE} and {BETA} {VERSION} (Python bindings), read by scripts/google_provider_schema.py",
        "provider": version,
        "resources": {type_: Bindings(sources[type_]).resource() for type_ in types},
    }


def written(content: Tree) -> str:
    """The file's text: a line for each resource type, so that a change shows as what it is."""
    resources = content["resources"].items()
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(tree, sort_keys=True)}" for name, tree in resources)
    head = {key: value for key, value in content.items() if key != "resources"}
    return json.dumps(head, indent=1).removesuffix("\n}") + f',\n "resources": {{\n{lines}\n }}\n}}\n'


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help=f"where the wheels of {PACKAGE} and {BETA} {VERSION} are")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.wheels is None:
            fetch(Path(scratch))
        content = read(arguments.wheels or Path(scratch), resource_types(TERRAFORM), beta_types(TERRAFORM))
    TARGET.write_text(written(content), "utf-8")
    print(f"{len(content['resources'])} resource types of provider {content['provider']} -> {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
