"""The bundle as `sam build` makes it, and Lambda's runtime around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import aws_tools, build_aws
from tests.bundle.aws.rie import Environment
from tests.drivers import CLOUDS, Cloud, Driver
from tests.drivers.aws import AwsPlatform
from tests.drivers.aws_rie import Start, deploy


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, python313: Path) -> Path:
    """A bundle built from the present code, with bytecode."""
    return build_aws.build(tmp_path_factory.mktemp("bundle") / "aws", python313).folder


@pytest.fixture(scope="session")
def start(bundle: Path) -> Start:
    """Makes an environment of the bundle in Lambda's runtime."""
    return starter(bundle)


def starter(folder: Path) -> Start:
    """Makes environments of the bundle in ``folder``."""
    if reason := aws_tools.missing(aws_tools.SAM, aws_tools.RUNTIME_CLIENT):
        pytest.skip(reason)
    rie = aws_tools.rie()
    if rie is None:
        pytest.skip("needs Linux: the Runtime Interface Emulator runs nowhere else")

    def make(handler: str, settings: Mapping[str, str], *, path: tuple[Path, ...] = ()) -> Environment:
        python = aws_tools.RUNTIME_CLIENT.folder / "bin/python"
        return Environment(folder, handler, settings, rie=rie, python=python, path=path)

    return make


@pytest.fixture
def cloud() -> Cloud:
    """AWS behind the front that the template deploys; the others are the contract tests' own business."""
    aws = CLOUDS["aws"]
    return replace(aws, fronts=tuple(front for front in aws.fronts if front.name.startswith("function-url")))


@pytest.fixture(scope="session")
def platform() -> Iterator[AwsPlatform]:
    """The emulator behind the bundle, and its fault proxies."""
    # Not through the list of all clouds: the other drivers want their clouds' packages.
    with CLOUDS["aws"].start() as running:
        assert isinstance(running, AwsPlatform)
        yield running


@pytest.fixture
def driver(start: Start, platform: AwsPlatform) -> Iterator[Driver]:
    """A deployment whose receiver is the bundle in Lambda's runtime."""
    with deploy(platform, start) as deployed:
        yield deployed
