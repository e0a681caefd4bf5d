"""The cost page says what its data give, and the data name how each price was found."""

from __future__ import annotations

import json
import re

import pytest

from core import log
from scripts import cost

CLOUDS = cost.clouds()
OPTIONAL = re.compile(r"silence|webhook_")


def text(path: str) -> str:
    """A file of the project."""
    return (cost.ROOT / path).read_text("utf-8")


def test_the_page_has_the_tables_of_the_data() -> None:
    """A changed price changes the page, or this fails; so does a page of another date."""
    if set(CLOUDS) == {part.cloud for part in cost.PARTS}:  # a project of one cloud writes its own
        assert cost.main(["--check"]) == 0
    assert f"**{cost.DATA['date']}**" in cost.PAGE.read_text("utf-8")


@pytest.mark.parametrize("part", cost.PARTS, ids=lambda part: f"{part.cloud}: {part.name}")
def test_a_price_says_where_it_comes_from(part: cost.Part) -> None:
    """One of the three ways that the page explains; amounts and prices are numbers of their kind."""
    assert part.seen in {"page", "reported", "known"}
    assert part.price > 0
    assert part.per > 0
    assert min(part.event, part.junk, part.idle) >= 0
    assert part.cloud in cost.TITLES


@pytest.mark.parametrize("cloud", CLOUDS)
def test_more_is_dearer_and_junk_is_bounded_by_the_clock(cloud: str) -> None:
    """Each of events and junk adds; an instance that is always busy is not billed twice for being busier."""
    idle, event, junk = cost.total(cloud, 0, 0), cost.total(cloud, 1e6, 0), cost.total(cloud, 0, 10)
    assert 0 < idle < event
    assert idle < junk
    for part in cost.PARTS:
        if part.cloud == cloud and part.busy:
            most = (cost.DATA["seconds"] + part.idle) * part.price / part.per
            assert part.cost(0, 10) == pytest.approx(most)
            assert part.cost(0, 12) == pytest.approx(most)


def test_counts_are_those_of_the_project() -> None:
    """Metrics that an idle month writes, and alarms without a switch: as many as the code and the templates have."""
    units = {part.name: part for part in cost.PARTS}
    written = {metric.name for metric in log.REDRIVE.metrics}
    answered = {metric.name for metric in log.ACCEPTED.metrics}
    if "aws" in CLOUDS:
        metrics = units["CloudWatch, metrics of our own"]
        assert (metrics.idle, metrics.events, metrics.junks) == (len(written), len(answered), len(log.REFUSED.metrics))
        alarms = re.findall(r"Type: AWS::CloudWatch::Alarm\n(?! +Condition:)", text("infra/aws/template.yaml"))
        assert units["CloudWatch, 14 alarms"].idle == len(alarms) == 14
    if "gcp" in CLOUDS:
        always = [path for path in (cost.ROOT / "infra/gcp/alarms").glob("*.json") if not OPTIONAL.match(path.name)]
        conditions = sum(len(json.loads(path.read_text("utf-8"))["conditions"]) for path in always)
        assert f"{len(always)} policies with {conditions} conditions" in cost.PAGE.read_text("utf-8")


def test_the_first_pages_figures_are_the_tables() -> None:
    """Each README rounds what the page says; a figure that is moved there is moved here."""
    for page in ("README.md", "README.fr.md"):
        for cloud in CLOUDS:
            idle = cost.total(cloud, 0, 0)
            exact = [idle, cost.total(cloud, cost.MILLION, 0) - idle, cost.total(cloud, 0, 10) - idle]
            (row,) = re.findall(rf"^\| {cost.TITLES[cloud]} \|(.*)\|(.*)\|(.*)\|$", text(page), re.MULTILINE)
            for shown, figure in zip(row, exact, strict=True):
                below, words = re.subn(r"under |moins de ", "", shown)[::-1]
                said = float(words.strip().replace(",", "."))
                assert figure < said if below else said == pytest.approx(figure, rel=0.06), (page, cloud, shown)


def test_what_is_included_is_not_billed_twice() -> None:
    """Units that another price contains cost nothing until they are used up."""
    part = cost.Part("aws", "invented", 2.0, 10, 1, 0, 0, "known", included=100)
    assert [part.cost(100, 0), part.cost(110, 0)] == [0, 2]
    flat = cost.Part("aws", "invented", 1.0, 1, 0, 0, 7, "known", events=2, junks=1)
    assert [flat.cost(0, 0), flat.cost(1, 0), flat.cost(5, 1)] == [7, 9, 10]


def test_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """A million sends to SQS at 0.40 a million are 0.40; the program prints the sum of its lines."""
    if "aws" in CLOUDS:
        (sqs,) = [part for part in cost.PARTS if part.name.startswith("SQS")]
        assert sqs.cost(1e6, 10) == pytest.approx(0.40)
    assert cost.main(["--events", "1000", "--junk", "0"]) == 0
    printed = capsys.readouterr().out
    for cloud in CLOUDS:
        assert f"{cost.TITLES[cloud]}: {cost.total(cloud, 1000, 0):.2f} USD a month" in printed


def test_impossible_amounts_are_refused() -> None:
    """A negative number is a usage error."""
    with pytest.raises(SystemExit):
        cost.main(["--events", "-1"])
