"""The doctor's attacks and the contract's table are one: what the one sends, the other proves to be refused."""

from __future__ import annotations

import pytest

from cli.doctor.attacks import ATTACKS
from cli.doctor.attacks.base import Fault
from cli.doctor.sender import DoctorSender
from tests.contract.bypass import CASES, DEFAULT_LIMIT, NO, NOT_POST
from tests.contract.vendor_faults import VendorFault
from tests.drivers import Duplicates
from tests.planted import KEY

BY_HAND = {
    "neither-of-two-keys": "needs a deployment with two keys",
    "both-keys-joined": "needs a deployment with two keys",
    "two-keys-two-signatures": "needs a deployment with two keys",
    "forwarded-and-forged": "needs an address of its own",
    "size-above-default-limit": "the doctor's row of the size sends it",
}
"""Refused cases of the table that are no attacks of the doctor's, and why."""


def test_each_attack_is_a_case_with_the_same_status() -> None:
    """Every attack stands in the contract's table under its name, with the status that the doctor asks for."""
    cases = {case.name: case for case in CASES}
    for attack in ATTACKS:
        case = cases[attack.name]
        assert case.expected.answer.status == attack.status, attack.name
        assert bool(case.by_duplicates.get(Duplicates.LAST_ONLY)) == attack.last_wins
        assert case.settings == {}


def test_each_refused_case_is_an_attack() -> None:
    """What the table refuses by default the doctor sends, but for a few that have a reason."""
    refused = {case.name for case in CASES if case.expected.answer.status >= 400 and not case.settings}
    assert refused - {attack.name for attack in ATTACKS} == set(BY_HAND)
    assert {attack.status for attack in ATTACKS} == {NO.answer.status, NOT_POST.answer.status}


def test_the_faults_have_one_wording() -> None:
    """The doctor names a published receiver's fault in the words of the tests."""
    assert {fault.name: fault.value for fault in Fault}.items() <= {
        fault.name: fault.value for fault in VendorFault
    }.items()


@pytest.mark.parametrize("key", [KEY, "not a GUID, and with a é", "UPPER-CASE", "short"])
def test_every_attack_can_be_made_with_any_key(key: str) -> None:
    """An attack can be made whatever the key looks like, and none of them is the genuine request."""
    sender = DoctorSender(key)
    for attack in ATTACKS:
        sent = attack.make(sender)
        right = sender.signature(sent.body, key)
        values = [value for name, value in sent.headers if name.lower() == "dastra-signature"]
        genuine = sent.method == "POST" and {value.strip(" \t") for value in values} == {right}
        assert not genuine, attack.name


def test_names_are_unique() -> None:
    """Every attack has a name of its own, by which a report names it."""
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names))


def test_the_large_body_is_above_the_limit() -> None:
    """What the doctor sends as too large is above the limit that the table proves, and its large event below it."""
    from cli.doctor.assault import LIMIT

    sender = DoctorSender(KEY)
    assert LIMIT == DEFAULT_LIMIT
    assert 1024 * 1024 < len(sender.large()) < DEFAULT_LIMIT < len(sender.body(data="x" * LIMIT))
