"""The cost page says what its data give, and the data name how each price was found."""

from __future__ import annotations

import pytest

from scripts import cost

CLOUDS = cost.clouds()


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
