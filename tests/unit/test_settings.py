"""Settings from the environment: every name, every default, and errors that say all that is wrong."""

from __future__ import annotations

import dataclasses

import pytest

from core.delivery import Limits
from core.screening import Policy, SourceIpMode
from core.settings import KNOWN, NAMES, PREFIX, WATCH_NAMES, Settings, SettingsError, shown, watches
from core.signature import SignatureKey
from core.source_ip import PRESET, PRESET_ADDRESSES, AllowList
from core.watch_settings import WatchSettings
from tests.unit.samples import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT

LEAST = {"DASTRA_QUEUE": "https://queue.example", "DASTRA_STORE": "bucket", "DASTRA_SIGNATURE_KEYS": KEY_TEXT}
"""What must be set."""


def read(**values: str | None) -> Settings:
    """Settings from the least environment, with these names set or, for None, taken out."""
    env = {**LEAST, **{PREFIX + name: value for name, value in values.items()}}
    return Settings.from_env({name: value for name, value in env.items() if value is not None})


def faults(**values: str | None) -> tuple[str, ...]:
    """The faults that these names make."""
    with pytest.raises(SettingsError) as raised:
        read(**values)
    return raised.value.faults


# What is read


def test_the_least_environment_has_the_defaults_of_the_design() -> None:
    """Quarantine, the preset list, one trusted proxy, 4 MiB, no age check, six seconds, 2.5 of them for the queue."""
    assert read() == Settings(
        queue="https://queue.example",
        store="bucket",
        signature_keys=(KEY,),
        signature_keys_secret=None,
        source_ip_mode=SourceIpMode.QUARANTINE,
        source_ip_allowlist=AllowList.of([PRESET]),
        trusted_proxy_hops=1,
        max_body_bytes=4 * 1024 * 1024,
        max_event_age_seconds=0,
        time_budget_seconds=6,
        queue_budget_seconds=2.5,
    )


def test_every_name_is_read() -> None:
    """Into the field of the same name."""
    settings = read(
        QUEUE="q",
        STORE="s",
        SIGNATURE_KEYS=f"{KEY_TEXT},{OTHER_KEY_TEXT}",
        SOURCE_IP_MODE="observe",
        SOURCE_IP_ALLOWLIST="192.0.2.0/24 2001:db8::1",
        TRUSTED_PROXY_HOPS="2",
        MAX_BODY_BYTES="1048576",
        MAX_EVENT_AGE_SECONDS="86400",
        TIME_BUDGET_SECONDS="8",
        QUEUE_BUDGET_SECONDS="3.5",
    )
    assert settings == Settings(
        "q",
        "s",
        (KEY, OTHER_KEY),
        None,
        SourceIpMode.OBSERVE,
        AllowList.of(["192.0.2.0/24", "2001:db8::1"]),
        2,
        1_048_576,
        86_400,
        8,
        3.5,
    )
    assert {name.lower() for name in NAMES} == {field.name for field in dataclasses.fields(Settings)}


def test_the_keys_may_stand_in_a_secret_of_the_platform() -> None:
    """Then there are none in the settings."""
    settings = read(SIGNATURE_KEYS=None, SIGNATURE_KEYS_SECRET="arn:of-a-secret")
    assert settings.signature_keys_secret == "arn:of-a-secret"
    assert settings.signature_keys == ()


def test_names_without_the_prefix_are_none_of_ours() -> None:
    """Nor is one in another case."""
    env = {
        **LEAST,
        "PATH": "/bin",
        "QUEUE": "x",
        "dastra_queue": "x",
        "Dastra_Mode": "x",
        "MY_DASTRA_X": "x",
        "DASTRA": "x",
    }
    assert Settings.from_env(env) == read()


@pytest.mark.parametrize("empty", ["", " ", "\n"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"QUEUE", "STORE", "SIGNATURE_KEYS"}))
def test_a_name_that_is_set_to_nothing_is_not_set(name: str, empty: str) -> None:
    """Templates pass empty parameters on."""
    assert read(**{name: empty}) == read()


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    """As copied from a console."""
    assert read(QUEUE=" https://queue.example\n", SOURCE_IP_MODE=" off ", TRUSTED_PROXY_HOPS="\t3 ") == read(
        SOURCE_IP_MODE="off", TRUSTED_PROXY_HOPS="3"
    )


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (f" {KEY_TEXT} ", (KEY,)),
        (f"{OTHER_KEY_TEXT};{KEY_TEXT}", (OTHER_KEY, KEY)),
        (f'["{KEY_TEXT}", "{OTHER_KEY_TEXT}"]', (KEY, OTHER_KEY)),
        (f'{{"new": "{KEY_TEXT}", "old": "{OTHER_KEY_TEXT}"}}', (KEY, OTHER_KEY)),
    ],
    ids=["one", "separated", "list", "object"],
)
def test_keys_are_read_in_every_form(value: str, keys: tuple[SignatureKey, ...]) -> None:
    """As in a secret store."""
    assert read(SIGNATURE_KEYS=value).signature_keys == keys


@pytest.mark.parametrize("mode", list(SourceIpMode))
def test_a_mode_may_be_written_in_any_case(mode: SourceIpMode) -> None:
    """There are four."""
    for text in (mode.value, mode.value.upper(), mode.value.title()):
        assert read(SOURCE_IP_MODE=text).source_ip_mode is mode


def test_a_list_may_hold_the_preset_and_more() -> None:
    """By its name."""
    listed = read(SOURCE_IP_ALLOWLIST=f"{PRESET}, 192.0.2.1").source_ip_allowlist
    assert listed.addresses == {*PRESET_ADDRESSES, "192.0.2.1"}


@pytest.mark.parametrize("text", ["none", "NONE", " none "])
def test_the_list_may_be_nobody(text: str) -> None:
    """A word switches the preset off, which an empty value does not; beside other entries it is none of them."""
    assert read(SOURCE_IP_ALLOWLIST=text).source_ip_allowlist == AllowList()
    assert read(SOURCE_IP_ALLOWLIST="").source_ip_allowlist == AllowList.of([PRESET])
    with pytest.raises(SettingsError, match="'none' is not an address"):
        read(SOURCE_IP_ALLOWLIST="none, 192.0.2.1")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("TRUSTED_PROXY_HOPS", "1", 1),
        ("TRUSTED_PROXY_HOPS", "10", 10),
        ("TRUSTED_PROXY_HOPS", "007", 7),
        ("MAX_BODY_BYTES", "1", 1),
        ("MAX_BODY_BYTES", "4194304", 4_194_304),
        ("MAX_EVENT_AGE_SECONDS", "0", 0),
        ("MAX_EVENT_AGE_SECONDS", "0.5", 0.5),
        ("MAX_EVENT_AGE_SECONDS", "31536000", 31_536_000),
        ("MAX_EVENT_AGE_SECONDS", "1e3", 1000),
        ("TIME_BUDGET_SECONDS", "4", 4),
        ("TIME_BUDGET_SECONDS", "9", 9),
        ("QUEUE_BUDGET_SECONDS", "0.1", 0.1),
        ("QUEUE_BUDGET_SECONDS", "4.5", 4.5),
    ],
)
def test_numbers_are_valid_up_to_both_ends(name: str, text: str, value: float) -> None:
    """Each end is inside."""
    assert getattr(read(**{name: text}), name.lower()) == value


# What is wrong


@pytest.mark.parametrize("value", [None, "", " "])
@pytest.mark.parametrize(("name", "what"), [("QUEUE", "the queue's URL or path"), ("STORE", "the bucket or container")])
def test_queue_and_store_are_required(name: str, what: str, value: str | None) -> None:
    """The error says what stands there."""
    assert faults(**{name: value}) == (f"DASTRA_{name} is required: {what}",)


@pytest.mark.parametrize(
    ("keys", "secret", "state"),
    [(None, None, "both missing"), ("", "  ", "both missing"), (KEY_TEXT, "name", "both set")],
)
def test_keys_come_from_one_place(keys: str | None, secret: str | None, state: str) -> None:
    """From the setting or from a secret, and the error names both."""
    assert faults(SIGNATURE_KEYS=keys, SIGNATURE_KEYS_SECRET=secret) == (
        f"DASTRA_SIGNATURE_KEYS and DASTRA_SIGNATURE_KEYS_SECRET are {state}: set exactly one of them",
    )


MODES = "valid: off, observe, quarantine, reject"
HOPS = "valid: a whole number from 1 to 10"
BYTES = "valid: a whole number from 1 to 4194304"
AGE = "valid: a number of seconds from 0 to 3.1536e+07"
BUDGET = "valid: a number of seconds from 0.5 to 9"
SHARE = "valid: a number of seconds from 0.1 to 9"


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("SOURCE_IP_MODE", "on", MODES),
        ("SOURCE_IP_MODE", "reject,off", MODES),
        ("TRUSTED_PROXY_HOPS", "0", HOPS),
        ("TRUSTED_PROXY_HOPS", "11", HOPS),
        ("TRUSTED_PROXY_HOPS", "-1", HOPS),
        ("TRUSTED_PROXY_HOPS", "+1", HOPS),
        ("TRUSTED_PROXY_HOPS", "1.0", HOPS),
        ("TRUSTED_PROXY_HOPS", "1_0", HOPS),
        ("TRUSTED_PROXY_HOPS", "one", HOPS),
        ("TRUSTED_PROXY_HOPS", "\u0662", HOPS),
        ("TRUSTED_PROXY_HOPS", "²", HOPS),
        ("TRUSTED_PROXY_HOPS", "0000000000050", HOPS),
        ("MAX_BODY_BYTES", "0", BYTES),
        ("MAX_BODY_BYTES", "4194305", BYTES),
        ("MAX_BODY_BYTES", "4MiB", BYTES),
        ("MAX_BODY_BYTES", "9" * 5000, BYTES),
        ("MAX_EVENT_AGE_SECONDS", "-0.001", AGE),
        ("MAX_EVENT_AGE_SECONDS", "31536000.5", AGE),
        ("MAX_EVENT_AGE_SECONDS", "nan", AGE),
        ("MAX_EVENT_AGE_SECONDS", "inf", AGE),
        ("MAX_EVENT_AGE_SECONDS", "1 h", AGE),
        ("TIME_BUDGET_SECONDS", "0.499", BUDGET),
        ("TIME_BUDGET_SECONDS", "9.001", BUDGET),
        ("TIME_BUDGET_SECONDS", "soon", BUDGET),
        ("QUEUE_BUDGET_SECONDS", "0.099", SHARE),
        ("QUEUE_BUDGET_SECONDS", "9.001", SHARE),
        ("QUEUE_BUDGET_SECONDS", "-inf", SHARE),
    ],
)
def test_an_invalid_value_is_shown_with_what_is_valid(name: str, value: str, valid: str) -> None:
    """Name, value, valid values: what a person needs to put it right."""
    assert faults(**{name: value}) == (f"DASTRA_{name} is {value!r}: {valid}",)


def test_an_invalid_address_is_named_within_its_list() -> None:
    """The entry, not the whole list."""
    [fault] = faults(SOURCE_IP_ALLOWLIST="192.0.2.1, 192.0.2.1/24")
    assert fault.startswith("DASTRA_SOURCE_IP_ALLOWLIST '192.0.2.1/24' is not an address, a CIDR network or ")
    assert fault.endswith("valid: 192.0.2.1, 192.0.2.0/24, 2001:db8::/32")


@pytest.mark.parametrize(
    "value", [",;", "[]", '["planted', '{"planted": 5}', "[planted-secret]", '{"a": "planted\\ud800"}', "planted\ud800"]
)
def test_an_invalid_secret_is_never_shown(value: str) -> None:
    """Nor any part of it, also not in what the error was raised from."""
    with pytest.raises(SettingsError) as raised:
        read(SIGNATURE_KEYS=value)
    [fault] = raised.value.faults
    assert fault.startswith("DASTRA_SIGNATURE_KEYS ")
    assert "planted" not in str(raised.value)
    assert value not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_a_valid_secret_is_not_shown_beside_another_fault() -> None:
    """Nor in the repr of the settings."""
    with pytest.raises(SettingsError) as raised:
        read(SIGNATURE_KEYS=KEY_TEXT, SIGNATURE_KEYS_SECRET="x", SOURCE_IP_MODE="x")
    assert KEY_TEXT not in str(raised.value)
    assert KEY_TEXT not in repr(raised.value.faults)
    assert KEY_TEXT not in repr(read())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DASTRA_SIGNATURE_KEY", "did you mean DASTRA_SIGNATURE_KEYS? "),
        ("DASTRA_MAX_BODY_BYTE", "did you mean DASTRA_MAX_BODY_BYTES? "),
        ("DASTRA_SOURCE_IP_ALLOW_LIST", "did you mean DASTRA_SOURCE_IP_ALLOWLIST? "),
        ("DASTRA_QUEUE_URL", "did you mean DASTRA_QUEUE? "),
        ("DASTRA_WEBHOOK_ID", "did you mean DASTRA_WEBHOOK_IDS? "),
        ("DASTRA_XYZZY", ""),
        ("DASTRA_", ""),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(name: str, hint: str) -> None:
    """With a suggestion where one is close, and without the value: it may be a secret under a wrong name."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({**LEAST, name: "planted"})
    known = ", ".join(PREFIX + known for known in KNOWN)
    assert raised.value.faults == (f"{name} is not known; {hint}known: {known}",)
    assert "planted" not in str(raised.value)


def test_all_faults_are_told_at_once() -> None:
    """One line each, under one heading, unknown names first."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(
            {
                "DASTRA_STORE": "bucket",
                "DASTRA_SOURCE_IP_MODE": "x",
                "DASTRA_MAX_BODY_BYTES": "x",
                "DASTRA_B": "x",
                "DASTRA_A": "x",
            }
        )
    told = str(raised.value).splitlines()
    assert told[0] == "invalid settings:"
    assert told[1:] == [f"  - {fault}" for fault in raised.value.faults]
    assert [line.split()[1] for line in told[1:]] == [
        "DASTRA_A",
        "DASTRA_B",
        "DASTRA_QUEUE",
        "DASTRA_SOURCE_IP_MODE",
        "DASTRA_MAX_BODY_BYTES",
        "DASTRA_SIGNATURE_KEYS",
    ]
    assert isinstance(raised.value, ValueError)


# The budget


@pytest.mark.parametrize(("budget", "queue", "valid"), [("4", "3", True), ("4", "3.001", False), ("9", "6.75", True)])
def test_the_queue_gets_three_quarters_of_the_budget_at_most(budget: str, queue: str, valid: bool) -> None:
    """The store needs the rest when the queue fails."""
    if valid:
        assert read(TIME_BUDGET_SECONDS=budget, QUEUE_BUDGET_SECONDS=queue).queue_budget_seconds == float(queue)
    else:
        assert faults(TIME_BUDGET_SECONDS=budget, QUEUE_BUDGET_SECONDS=queue) == (
            (
                "DASTRA_QUEUE_BUDGET_SECONDS is 3.001, more than three quarters of DASTRA_TIME_BUDGET_SECONDS (4): "
                "the store needs the rest when the queue fails"
            ),
        )


@pytest.mark.parametrize(
    ("budget", "queue", "refresh", "store"),
    [
        (6, 2.5, 1, 2.5),
        (9, 2.5, 1, 5.5),
        (9, 6.75, 1, 4),
        (4.5, 2.5, 0.75, 1.875),
        (3, 1, 0.5, 1.5),
        (6, 4, 1, 2.5),
        (6, 4.5, 1, 2.5),
        (1.2, 0.9, 0.2, 0.5),
        (0.6, 0.3, 0.1, 0.25),
    ],
)
def test_the_shares_follow_from_the_budget(budget: float, queue: float, refresh: float, store: float) -> None:
    """A sixth for keys, a second at most; the store has what the queue leaves, and never less than half of the rest."""
    settings = read(TIME_BUDGET_SECONDS=str(budget), QUEUE_BUDGET_SECONDS=str(queue))
    assert settings.refresh_seconds == pytest.approx(refresh)
    limits = settings.limits(4)
    assert limits == Limits(queue, limits.store_seconds, 4)
    assert limits.store_seconds == pytest.approx(store)


def test_the_store_keeps_its_half_however_the_settings_were_made() -> None:
    """Also where a share of the queue was not checked against the budget."""
    assert dataclasses.replace(read(), queue_budget_seconds=6.0).limits(1).store_seconds == 2.5


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("plain", "'plain'"),
        ("https://example.org/x?sig=hidden", "'https://example.org/x…'"),
        ("Endpoint=sb://x/;SharedAccessKey=hidden", "'Endpoint=sb://x/…'"),
        (f"https://user:{KEY_TEXT}@example.org/", "'https://…@example.org/…'"),
    ],
)
def test_a_value_is_shown_without_what_may_be_a_secret(value: str, seen: str) -> None:
    """What stands behind a question mark or a semicolon, and who signs in, stays out of an error."""
    assert shown(value) == seen


def test_an_address_with_a_login_stays_out_of_the_error() -> None:
    """Where the settings themselves refuse it."""
    with pytest.raises(SettingsError) as raised:
        WatchSettings.from_env({"DASTRA_API_KEY_SECRET": "s", "DASTRA_API_URL": f"https://x:{KEY_TEXT}@example.org"})
    assert KEY_TEXT not in str(raised.value)


def test_the_policy_is_what_screening_needs() -> None:
    """Mode, list, size and age."""
    settings = read(
        SOURCE_IP_MODE="reject", SOURCE_IP_ALLOWLIST="192.0.2.1", MAX_BODY_BYTES="5", MAX_EVENT_AGE_SECONDS="7"
    )
    assert settings.policy() == Policy(SourceIpMode.REJECT, AllowList.of(["192.0.2.1"]), 5, 7)
    assert read().policy() == Policy(SourceIpMode.QUARANTINE, AllowList.of([PRESET]), 4_194_304, 0)


def test_settings_are_frozen() -> None:
    """They were read once."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().queue = "other"  # type: ignore[misc]


# The check of the webhooks


def watching(**values: str) -> WatchSettings:
    """The check's settings, from the least environment with these names set."""
    return WatchSettings.from_env({"DASTRA_API_KEY_SECRET": "secret", **{PREFIX + n: v for n, v in values.items()}})


def watch_faults(**values: str) -> tuple[str, ...]:
    """The faults that these names make."""
    with pytest.raises(SettingsError) as raised:
        watching(**values)
    return raised.value.faults


def test_the_check_needs_a_secret_alone() -> None:
    """It asks Dastra itself, about all that the key sees."""
    assert watching() == WatchSettings("secret", "https://api.dastra.eu", (), None)


def test_every_name_of_the_check_is_read() -> None:
    """Into the field of the same name."""
    assert watching(
        API_KEY_SECRET="arn:x", API_URL="https://api.example.org/", WEBHOOK_IDS="1, 22 1", WORKSPACE_ID="7"
    ) == WatchSettings("arn:x", "https://api.example.org", ("1", "22"), 7)
    assert {name.lower() for name in WATCH_NAMES} == {field.name for field in dataclasses.fields(WatchSettings)}


@pytest.mark.parametrize("empty", ["", " ", "\n"])
@pytest.mark.parametrize("name", sorted(set(WATCH_NAMES) - {"API_KEY_SECRET"}))
def test_a_name_of_the_check_that_is_set_to_nothing_is_not_set(name: str, empty: str) -> None:
    """Templates pass empty parameters on."""
    assert watching(**{name: empty}) == watching()


def test_receiver_and_check_may_share_an_environment() -> None:
    """Each reads its own names, and leaves the other's values unread: a wrong one is not its business."""
    env = {**LEAST, "DASTRA_API_KEY_SECRET": "secret", "DASTRA_API_URL": "x", "DASTRA_WORKSPACE_ID": "x"}
    assert Settings.from_env(env) == read()
    env = {"DASTRA_API_KEY_SECRET": "secret", "DASTRA_SOURCE_IP_MODE": "x", "DASTRA_MAX_BODY_BYTES": "x"}
    assert WatchSettings.from_env(env) == watching()
    assert not set(NAMES) & set(WATCH_NAMES)


def test_the_check_is_on_where_it_has_a_key() -> None:
    """An empty name is none."""
    assert watches({"DASTRA_API_KEY_SECRET": "secret"})
    assert not any(watches({"DASTRA_API_KEY_SECRET": value}) for value in ("", " "))
    assert not watches({"DASTRA_API_URL": "https://api.example.org"})


@pytest.mark.parametrize("url", ["https://api.example.org/prefix", "https://[::1]:8443", "http://127.0.0.1:8080"])
def test_an_address_with_tls_is_taken(url: str) -> None:
    """And one in clear text on this machine, for a stand-in."""
    assert watching(API_URL=url).api_url == url


URL = "valid: an address with https and without a query, such as https://api.dastra.eu"
IDS = "valid: the numbers of webhooks, separated by commas or white space"
WORKSPACE = "valid: a whole number from 1 to 2147483647"


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        *(
            ("API_URL", url, URL)
            for url in (
                *("http://api.dastra.eu", "http://127.0.0.1", "http://127.0.0.1.example.org:80", "api.dastra.eu"),
                "https://user:word@api.dastra.eu",  # pragma: allowlist secret
                *("https://", "https://api.dastra.eu?x=1", "https://x#y", "ftp://x"),
                *("https://api.dastra.eu:port", "https://[x", "https://\u0430pi.dastra.eu"),
            )
        ),
        ("WEBHOOK_IDS", ",", IDS),
        ("WEBHOOK_IDS", "1;2", IDS),
        ("WEBHOOK_IDS", "1 a/b", IDS),
        ("WORKSPACE_ID", "0", WORKSPACE),
        ("WORKSPACE_ID", "2147483648", WORKSPACE),
        ("WORKSPACE_ID", "all", WORKSPACE),
    ],
)
def test_an_invalid_value_for_the_check_is_shown_with_what_is_valid(name: str, value: str, valid: str) -> None:
    """As for the receiver."""
    assert watch_faults(**{name: value}) == (f"DASTRA_{name} is {shown(value)}: {valid}",)


def test_what_the_check_lacks_and_what_nobody_knows_is_told_at_once() -> None:
    """Unknown names first."""
    with pytest.raises(SettingsError) as raised:
        WatchSettings.from_env({"DASTRA_API_KEY": "planted"})
    unknown, missing = raised.value.faults
    assert unknown.startswith("DASTRA_API_KEY is not known; did you mean DASTRA_API_KEY_SECRET? ")
    assert missing == "DASTRA_API_KEY_SECRET is required: the secret that holds the key of Dastra's API"
    assert "planted" not in str(raised.value)
