"""The rules by which one cloud is kept know every file; what stays does not lean on what goes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from scripts import keep_edit
from scripts.keep_plan import KeepError, Plan, Rules, matches, plan
from tests.forking.project import ROOT, files

RULES = Rules.read()
CLOUDS = sorted(RULES.clouds)


@pytest.fixture(scope="module", params=CLOUDS)
def made(request: pytest.FixtureRequest) -> Plan:
    """What keeping a cloud would do to the project as it is."""
    return plan(ROOT, files(), RULES, request.param)


def test_everything_at_the_top_is_spoken_for() -> None:
    """A new folder or file at the top is named in `keep.toml`, as shared or as a cloud's; what is named is there."""
    tops = {path.partition("/")[0] for path in files()}
    shared = {top for top in tops if not RULES.owners(top)}
    assert shared <= RULES.top, f"name these in scripts/keep.toml: {sorted(shared - RULES.top)}"


def test_every_dependency_group_is_spoken_for() -> None:
    """A group is a cloud's, by its name, or shared."""
    groups = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"])
    assert groups - set(CLOUDS) <= RULES.groups, "name the group in scripts/keep.toml"
    assert set(CLOUDS) <= groups


def test_every_rule_still_has_something_to_say() -> None:
    """A pattern that fits no file, a replacement that finds nothing and a package that nobody wants are left-overs."""
    known = files()
    patterns = [*RULES.dropped, *RULES.also, *(path for cloud in RULES.clouds.values() for path in cloud.paths)]
    assert not [pattern for pattern in patterns if not any(matches(path, pattern) for path in known)]
    assert not [rule for rule in RULES.replaced if rule["old"] not in (ROOT / rule["file"]).read_text("utf-8")]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    needs = [need for cloud in RULES.clouds.values() for need in cloud.needs]
    assert not [need for need in needs if not re.search(rf'"{need}[\[=<>~!]', project)]


def test_no_file_is_two_clouds_by_accident() -> None:
    """A name with two clouds' words in it is allowed where the rules say so."""
    shared = {path for path in files() if len(RULES.owners(path)) > 1}
    assert shared == {path for path in shared if any(matches(path, pattern) for pattern in RULES.also)}


def test_the_kept_cloud_stays_whole(made: Plan) -> None:
    """Code, infrastructure, consumer, page and examples of the cloud itself are not touched by the cut."""
    name = made.cloud.name
    for path in files():
        if path.startswith((f"{name}_", f"infra/{name}/", f"cli/clouds/{name}", f"examples/{name}")):
            assert path not in made.removed


def test_nothing_that_stays_names_what_goes(made: Plan) -> None:
    """No list, target, workflow or link names a file that is gone; prose may."""
    removed = {path for path in made.removed if "/" in path}
    for path in files():
        if path in made.removed or not re.search(r"(^|/)Makefile$|\.(toml|yml|yaml|md|cfg|json)$", path):
            continue
        if path.startswith(("tests/", "build/")):
            continue
        text = made.changed.get(path) or (ROOT / path).read_text("utf-8")
        if path.endswith(".md"):
            text = " ".join(re.findall(r"\]\(([^)\s]+)\)", text))
        named = {gone for gone in removed if re.search(rf"(?<![\w/.-]){re.escape(gone)}(?![\w/-])", text)}
        assert not named, f"{path} names {sorted(named)}"


def test_the_cut_project_is_one_cloud(made: Plan) -> None:
    """Packages, groups, contracts and Makefile targets of the others are gone, and those of the kept one are there."""
    project = tomllib.loads(made.changed["pyproject.toml"])
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    own = next(package for package in packages if package.startswith(made.cloud.name))
    assert packages == ["core", own, "cli"]
    assert project["tool"]["importlinter"]["root_packages"] == packages
    assert project["tool"]["coverage"]["run"]["source"] == packages
    layers = next(c for c in project["tool"]["importlinter"]["contracts"] if c["id"] == "layers")["layers"]
    assert layers == ["cli", own, "core"]
    others = set(CLOUDS) - {made.cloud.name}
    groups = project["dependency-groups"]
    assert not others & groups.keys()
    assert {"include-group": made.cloud.name} in groups["dev"]
    assert not [entry for entry in groups["dev"] if entry["include-group"] in others]
    makefile = made.changed["Makefile"]
    targets = re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE)
    assert {"run", "test", "check", "lint", "setup", f"build-{made.cloud.name}"} <= set(targets)
    assert not [target for target in targets if others & set(target.split("-"))]
    assert "keep" not in targets
    assert f"CLOUD ?= {made.cloud.name}" in makefile


def test_no_test_of_the_shared_parts_is_lost(made: Plan) -> None:
    """The core's tests stay, and so do the contract's, which run on whichever cloud is there."""
    lost = {PurePosixPath(path).name for path in made.removed if re.match(r"tests/(unit/[^/]+|contract/.+)$", path)}
    assert lost <= {"test_fault_proxy.py", "test_from_service_bus.py"}


def test_a_shared_module_may_not_need_one_cloud(tmp_path: Path) -> None:
    """An import of a cloud outside the folders that follow is an error that says what to do about it."""
    folder = tmp_path
    (folder / "core").mkdir()
    (folder / "core/new.py").write_text("from aws_lambda.wiring import WORKERS\n")
    (folder / "aws_lambda").mkdir()
    (folder / "aws_lambda/wiring.py").write_text("WORKERS = 1\n")
    with pytest.raises(KeepError, match=r"core/new\.py is shared and imports aws_lambda\.wiring"):
        plan(folder, ["core/new.py", "aws_lambda/wiring.py"], RULES, "gcp")


def test_an_unknown_cloud_is_told(tmp_path: Path) -> None:
    """The error lists what there is."""
    with pytest.raises(KeepError, match=r"'ibm' is no cloud\. There is: aws, gcp, azure"):
        plan(ROOT, [], RULES, "ibm")


def test_regions() -> None:
    """What stands between the marks of a cloud stays without them or goes; a mark at a line's end is about the line."""
    text = (
        "a\n# only for aws gcp\nb\n# end of only\n"
        "<!-- only for azure -->\nc\n<!-- end of only -->\nd = 1  # only for azure\ne\n"
    )
    assert keep_edit.regions(text, "aws") == "a\nb\ne\n"
    assert keep_edit.regions(text, "azure") == "a\nc\nd = 1\ne\n"
    assert keep_edit.regions("# only for several\na\n# end of only\nb\n", "aws") == "b\n"


def test_every_region_is_some_cloud_s_and_ends() -> None:
    """A name with a slip in it would go with every cut, and a mark that is missing would take the rest of the file."""
    wrong = []
    for path in files():
        if path.startswith(("tests/forking/", "scripts/keep")):
            continue
        lines = (ROOT / path).read_bytes().decode(errors="replace").splitlines()
        marks = [names for names in map(keep_edit.region_of, lines) if names is not None]
        # Marks come in pairs: names that are known, and none at the end.
        begins, ends = marks[::2], marks[1::2]
        paired = len(begins) == len(ends) and all(begins) and not any(ends)
        if not paired or not {name for names in begins for name in names} <= {*CLOUDS, "several"}:
            wrong.append(f"{path}: {marks}")
    assert not wrong


def test_markdown() -> None:
    """Sections of other clouds go, with what is below them; entries that only link to gone files go; links lose it."""
    text = (
        "# T\n### AWS\nx\n#### more\n```sh\n# no heading\n```\n### Azure\ny\n## Z\n"
        "- [one](docs/gone.md)\n- [one](docs/gone.md) and [two](docs/here.md)\nsee [it](docs/gone.md#a) now\n"
    )
    assert keep_edit.markdown(text, ".", {"docs/gone.md"}, ["AWS"]) == (
        "# T\n### Azure\ny\n## Z\n- one and [two](docs/here.md)\nsee it now\n"
    )


def test_makefile() -> None:
    """Targets of other clouds go with their recipes, also as prerequisites, and so does what has nothing left to do."""
    text = (
        "PACKAGES := core aws_lambda gcp_function cli\n\n.PHONY: build-gcp\nbuild-gcp: ## Make it\n\trun gcp\n\n"
        ".PHONY: tools gcp-tools\ntools: setup gcp-tools ## Tools\n\tx scripts/a.py\n\tx scripts/gone.py\n"
        "gcp-tools:\n\tx\n\n.PHONY: only\nonly:\n\tx scripts/gone.py\n\n.PHONY: last\nlast: tools\n\tx\n"
    )
    assert keep_edit.makefile(text, {"scripts/gone.py"}, ["gcp", "gcp_function"]) == (
        "PACKAGES := core aws_lambda cli\n\n"
        ".PHONY: tools\ntools: setup ## Tools\n\tx scripts/a.py\n\n.PHONY: last\nlast: tools\n\tx\n"
    )


def test_registries() -> None:
    """Entries of removed modules leave dictionaries on one line and on several, and the tuple of a program's parts."""
    removed = {"cli/clouds/aws.py", "b/one.py", "b/two.py"}
    assert keep_edit.registries('X = {"aws": "cli.clouds.aws", "gcp": "cli.clouds.gcp"}\n', "x.py", removed) == (
        'X = {"gcp": "cli.clouds.gcp"}\n'
    )
    assert keep_edit.registries('X = {\n    "aws": "cli.clouds.aws",\n}\n', "x.py", removed) == "X = {\n}\n"
    assert keep_edit.registries('G = ("zero", "one", "two")\n', "b/__main__.py", removed) == 'G = ("zero",)\n'
