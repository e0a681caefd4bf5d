import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from tests.deploy.gcp import (
    EMAIL,
    INFRA,
    NAME,
    NUMBER,
    PROJECT,
    ROOT,
    Command,
    Json,
    definitions,
    dry_run,
    needs,
    planned,
    run_gcloud,
    script,
)

# Starts a program of the vendor's for each test.
pytestmark = pytest.mark.slow


SCRIPTS = ("deploy.sh", "destroy.sh")
EVERYTHING = (
    "--silence-hours=12",
    "--webhook-check=on",
    "--public-access=no-iam-check",
    f"--notification-channel=projects/{PROJECT}/notificationChannels/7",
)


def test_scripts_pass_shellcheck() -> None:
    """Nothing is found in them, at the strictest default."""
    command = [
        needs("shellcheck", "Debian: apt-get install shellcheck"),
        "-x",
        *(str(p) for p in sorted(INFRA.glob("*.sh"))),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_stop_at_the_first_fault(name: str) -> None:
    """Each is executable and strict, so that a step that failed is not built upon."""
    path = INFRA / name
    assert path.read_text("utf-8").startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in path.read_text("utf-8")
    assert path.stat().st_mode & 0o100


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_lists_every_option(name: str) -> None:
    """What the script takes and what its help says are the same."""
    run = script(name, "--help")
    taken = set(
        re.findall(r"(--[a-z][a-z-]+)(?: \||\)| \|\s*\\$)", (INFRA / name).read_text("utf-8"), re.MULTILINE)
    ) - {"--help"}
    shown = set(re.findall(r"^  (--[a-z-]+)", run.stdout, re.MULTILINE))
    assert run.returncode == 0
    assert shown == taken


def test_help_says_the_defaults_that_terraform_has() -> None:
    """The same defaults on both paths: the deployments below are compared with them."""
    help_ = script("deploy.sh", "--help").stdout
    for text in ("europe-west1", "dastra-webhooks", "4194304", "quarantine", "dastra-2023-01-05", "all-users"):
        assert text in help_


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--project is required"),
        (("--project", "X"), "not a project's id"),
        (("--project", PROJECT), "--alarm-email is required"),
        (("--project", PROJECT, "--alarm-email", "nobody"), "--alarm-email is required"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--name", "X"), "--name is 'X'"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--public-access", "everybody"), "valid: all-users"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--ingress", "some"), "valid: all, internal-and-gclb"),
        (
            ("--project", PROJECT, "--alarm-email", EMAIL, "--trusted-proxy-hops", "2"),
            "needs --ingress internal-and-gclb",
        ),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--region", "europe-west2"), "must contain the region"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--silence-hours", "24"), "valid: 0 to 23"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--webhook-check", "yes"), "valid: on, off"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--webhook-ids", "1|2"), "valid: numbers of webhooks"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--workspace-id", "all"), "valid: a workspace's number"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--api-url", "http://x"), "valid: an address with https"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--colour", "red"), "--colour is not an option"),
        (("--project",), "--project needs a value"),
        (("--project", PROJECT, "--alarm-email", EMAIL, "--source", "/nowhere"), "run: make build-gcp"),
    ],
)
def test_a_bad_option_stops_it_before_anything_is_made(options: tuple[str, ...], said: str) -> None:
    """It says what is wrong, ends with 2, and has called nothing."""
    run = script("deploy.sh", *options)
    assert run.returncode == 2, run.stdout + run.stderr
    assert said in run.stderr
    assert "gcloud" not in run.stdout


def all_commands() -> list[Command]:
    """Every command of both scripts: of a first deployment, of a second one, and every look-up."""
    first, away = dry_run("deploy.sh", *EVERYTHING), dry_run("destroy.sh")
    return [*first.commands, *first.look_ups, *away.commands, *away.look_ups, *second_deployment()]


def lint(commands: list[Command], directory: Path) -> list[str]:
    """What gcloud's own parser says against commands."""
    given = directory / "commands.json"
    given.write_text(json.dumps([{"command_string": shlex.join(command.words)} for command in commands]), "utf-8")
    answer = json.loads(run_gcloud("meta", "lint-gcloud-commands", f"--commands-file={given}", directory=directory))
    asked = {shlex.join(command.words) for command in commands}
    assert len(answer) == len(asked), "a command was not judged"
    return [f"{each['command_string']}: {each['error_message']}" for each in answer if not each["success"]]


@pytest.mark.timeout(300)  # some 200 commands, each parsed by gcloud: 15 seconds where nothing else runs
def test_gcloud_knows_every_command_and_flag(tmp_path: Path) -> None:
    """The real gcloud parses each command that the scripts run, flags, choices and ranges included."""
    commands = all_commands()
    assert len(commands) > 150
    assert lint(commands, tmp_path) == []


def test_commands_in_the_texts_are_gclouds_own(tmp_path: Path) -> None:
    """What the page, the alarms and the outputs tell somebody to type is parsed by gcloud too."""
    page = (ROOT / "docs/deploy-gcp.md").read_text("utf-8")
    lines = [line.partition("#")[0].strip() for line in page.splitlines() if line.startswith("    ")]
    typed = [part.strip() for line in lines for part in line.split("&&")]
    contents = [alarm["documentation"]["content"] for alarm in definitions("alarms").values()]
    typed += re.findall(r"`(gcloud [^`]+)`", "\n".join([*contents, page]))
    typed += re.findall(r"^ *(gcloud .+)$", planned(public_access="none").outputs["next_step"], re.MULTILINE)
    given = [line.replace("=ID", f"={PROJECT}").replace("=TIME", "=2026-01-31T10:00:00Z") for line in typed]
    commands = [Command(tuple(shlex.split(line))) for line in given if line.startswith("gcloud ")]
    assert len(commands) >= 7
    assert lint(commands, tmp_path) == []


def test_the_page_names_options_that_exist() -> None:
    """Each option of the scripts and each variable that docs/deploy-gcp.md names is there."""
    # The command line's own are held by tests/docs.
    page = re.sub(r"dastra-webhooks [a-z][^`\n]*", "", (ROOT / "docs/deploy-gcp.md").read_text("utf-8"))
    options = set(re.findall(r"--[a-z][a-z-]+", "".join(script(name, "--help").stdout for name in SCRIPTS)))
    foreign = {"--limit", "--format", "--time", "--project", "--dry-run"}
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - foreign:
        assert option in options, option
    variables = (INFRA / "variables.tf").read_text("utf-8")
    for name in re.findall(r"`([a-z_]+)(?: = [^`]+)?`", page):
        if "_" in name and name not in definitions("alarms") and name != "next_step":
            assert f'variable "{name}"' in variables, name


def test_the_script_and_terraform_name_the_deployment_alike() -> None:
    """The line to paste, by which the command line finds everything else, is the same from both."""
    with tempfile.TemporaryDirectory() as scratch:
        options = ("--project", PROJECT, "--alarm-email", EMAIL, "--work-dir", scratch, "--dry-run")
        said = script("deploy.sh", *options)
    [line] = re.findall(r"export DASTRA_\S+ DASTRA_\S+", said.stdout + said.stderr)
    assert line in planned().outputs["next_step"].splitlines()[1]


def test_the_page_counts_its_alarms() -> None:
    """As many as there are without the optional ones."""
    page = (ROOT / "docs/deploy-gcp.md").read_text("utf-8")
    assert f"{len(definitions('alarms')) - len(OPTIONAL)} alarms" in page


def test_a_wrong_flag_is_found(tmp_path: Path) -> None:
    """The check above can fail: an unknown flag and an unknown choice are both named."""
    deploy = dry_run("deploy.sh").of("functions", "deploy")[0]
    broken = [
        Command((*deploy.words, "--thread-count=16")),
        Command(tuple(word.replace("--ingress-settings=all", "--ingress-settings=some") for word in deploy.words)),
        Command(tuple(word.replace("--concurrency=16", "--concurrency=many") for word in deploy.words)),
    ]
    found = lint(broken, tmp_path)
    assert len(found) == 3, found


STAND_IN = r"""#!/usr/bin/env bash
# Stands in for gcloud where everything is there already, and writes down what it was asked to do.
case "$*" in
  *"value(projectNumber)"*) echo {number} ;;
  *"value(serviceConfig.uri)"*) echo https://example.invalid ;;
  *"policies list"*) for alarm in {alarms}; do printf '{name}\t%s\tpolicies/%s\n' "$alarm" "$alarm"; done ;;
  *"channels list"*) printf '{name}\temail\t{email}\tchannels/1\n' ;;
  *"dashboards list"*) printf '{name}\tdashboards/1\n' ;;
esac
printf '%q ' gcloud "$@" >>"$ASKED"
echo >>"$ASKED"
"""


def put_stand_in(stand_in: str, directory: Path) -> dict[str, str]:
    """Put a gcloud of ours on a PATH, and a pause that is over at once; the environment with both."""
    written = {"number": NUMBER, "name": NAME, "email": EMAIL, "alarms": " ".join(definitions("alarms"))}
    for name, value in written.items():
        stand_in = stand_in.replace(f"{{{name}}}", value)
    programs = {"gcloud": stand_in, "sleep": '#!/bin/sh\necho "$1" >>"$ASKED.pauses"\n'}
    (directory / "bin").mkdir(exist_ok=True)
    for name, text in programs.items():
        (directory / "bin" / name).write_text(text, "utf-8")
        (directory / "bin" / name).chmod(0o755)
    path = f"{directory}/bin:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(directory), "ASKED": str(directory / "asked")}


def run_live(name: str, directory: Path, *options: str, stand_in: str = STAND_IN) -> subprocess.CompletedProcess[str]:
    """Run a script for good, against a gcloud of ours."""
    env = put_stand_in(stand_in, directory)
    source = directory / "source"
    source.mkdir(exist_ok=True)
    (source / "main.py").touch()
    for left in directory.glob("asked*"):
        left.unlink()
    more = ("--alarm-email", EMAIL, "--source", str(source)) if name == "deploy.sh" else ("--yes",)
    command = ["bash", str(INFRA / name), "--project", PROJECT, *more, *options]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def asked_of(directory: Path) -> tuple[Command, ...]:
    """What the gcloud of ours was asked."""
    lines = (directory / "asked").read_text("utf-8").splitlines()
    return tuple(Command(tuple(shlex.split(line))) for line in lines)


def live(name: str, directory: Path, *options: str, stand_in: str = STAND_IN) -> tuple[Command, ...]:
    """The same, to the end; what gcloud was asked."""
    run = run_live(name, directory, *options, stand_in=stand_in)
    assert run.returncode == 0, run.stderr
    return asked_of(directory)


def second_deployment() -> list[Command]:
    """What gcloud is asked where everything is there already."""
    with tempfile.TemporaryDirectory() as scratch:
        return list(live("deploy.sh", Path(scratch), *EVERYTHING))


def test_a_second_deployment_makes_nothing_twice(tmp_path: Path) -> None:
    """Where everything is there, nothing is created but the dashboard, which is put in the place of the old one."""
    commands = live("deploy.sh", tmp_path)
    created = [" ".join(command.plain) for command in commands if "create" in command.plain]
    assert created == ["beta services identity create", "monitoring dashboards create"]
    updated = {command.plain[:3] for command in commands if "update" in command.plain}
    assert {
        ("pubsub", "topics", "update"),
        ("pubsub", "subscriptions", "update"),
        ("storage", "buckets", "update"),
    } <= updated
    assert {("scheduler", "jobs", "update"), ("logging", "metrics", "update")} <= updated
    assert len([c for c in commands if c.begins("alpha", "monitoring", "policies", "update")]) == len(
        definitions("alarms")
    ) - len(OPTIONAL)


def test_what_is_no_longer_wanted_is_taken_away(tmp_path: Path) -> None:
    """A second deployment without the words deletes the optional alarms and the check's schedule."""
    path = ("alpha", "monitoring", "policies", "delete")
    commands = live("deploy.sh", tmp_path)
    assert len([c for c in commands if c.begins(*path)]) == len(OPTIONAL)
    assert [c.plain[-1] for c in commands if c.begins("scheduler", "jobs", "delete")] == [f"{NAME}-watch"]
    wanted = live("deploy.sh", tmp_path, "--silence-hours=3", "--webhook-check=on")
    assert not [c for c in wanted if "delete" in c.plain and not c.begins("monitoring", "dashboards")]


def test_a_deployment_never_closes_the_webhook(tmp_path: Path) -> None:
    """Not for a moment: the flag that takes allUsers away is not used on a public receiver.

    Who may call is given apart from the build, so that nothing is built again where that is refused.
    """
    for commands in (dry_run("deploy.sh").commands, live("deploy.sh", tmp_path)):
        (receive,) = (c for c in commands if c.begins("functions", "deploy", f"{NAME}-receive"))
        assert not {"allow-unauthenticated", "no-allow-unauthenticated"} & receive.flags.keys()
        opened = [c for c in commands if c.flags.get("member") == "allUsers"]
        assert [c.plain[:4] for c in opened] == [("run", "services", "add-iam-policy-binding", f"{NAME}-receive")]


def failing(pattern: str, words: str, times: int, stand_in: str = STAND_IN) -> str:
    """The stand-in, where a command fails so often with these words of Google's."""
    refusal = f"""
case "$*" in
  {pattern})
    if (($(cat "$ASKED.refused" 2>/dev/null | wc -l) < {times})); then
      echo "$*" >>"$ASKED.refused"
      echo 'ERROR: (gcloud) {words}' >&2
      exit 1
    fi ;;
esac
"""
    return stand_in.replace("\n", refusal, 1)


DISABLED = "PERMISSION_DENIED: Cloud Run Admin API has not been used in project 1 before. reason: SERVICE_DISABLED"
NO_ACCOUNT = "INVALID_ARGUMENT: Service account service-1@gcp-sa-pubsub.iam.gserviceaccount.com does not exist."
NOT_BUILT = "Build failed: denied: Permission artifactregistry.repositories.downloadArtifacts denied on resource"
NOT_PERMITTED = (
    "FAILED_PRECONDITION: One or more users named in the policy do not belong to a permitted customer, "
    "perhaps due to an organization policy."
)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ('*"pubsub topics update"*', DISABLED),
        ('*"secrets add-iam-policy-binding"*', NO_ACCOUNT),
        ('*"pubsub topics add-iam-policy-binding"*', NO_ACCOUNT),
        ('*"projects add-iam-policy-binding"*', NO_ACCOUNT),
        ('*"functions deploy"*', NOT_BUILT),
        ('*"--member=allUsers"*', DISABLED),
        ('*"policies update"*', "NOT_FOUND: Cannot find metric that matches type"),
        ('*"policies list"*', DISABLED),
    ],
)
def test_what_google_does_not_know_everywhere_yet_is_waited_for(tmp_path: Path, pattern: str, words: str) -> None:
    """Whichever command it is, it is tried again, with a word about why and when; and then the script goes on."""
    run = run_live("deploy.sh", tmp_path, stand_in=failing(pattern, words, 5))
    assert run.returncode == 0, run.stderr
    assert re.search(r"attempt 5 of (6|10)\..* again in 30 seconds", run.stderr)
    assert words in run.stderr
    assert (tmp_path / "asked.pauses").read_text("utf-8").split() == ["30"] * 5
    assert asked_of(tmp_path)[-1].begins("functions", "describe")


def test_patience_ends(tmp_path: Path) -> None:
    """After six times it gives up, and nothing is built on what is not there."""
    run = run_live("deploy.sh", tmp_path, stand_in=failing('*"services enable"*', DISABLED, 99))
    assert run.returncode == 1
    assert len((tmp_path / "asked.refused").read_text("utf-8").splitlines()) == 6
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ('*"functions deploy"*', "PERMISSION_DENIED: denied. reason: IAM_PERMISSION_DENIED"),
        ('*"services enable"*', "FAILED_PRECONDITION: Billing must be enabled for activation of service"),
        ('*"storage buckets update"*', "Error 412: violates constraint constraints/gcp.resourceLocations"),
        ('*"functions deploy"*', "Could not create service. Container Healthcheck failed."),
    ],
)
def test_a_last_word_is_not_tried_again(tmp_path: Path, pattern: str, words: str) -> None:
    """What Google would say the same way next time ends the script at once, with Google's words."""
    run = run_live("deploy.sh", tmp_path, stand_in=failing(pattern, words, 99))
    assert run.returncode == 1
    assert words in run.stderr
    assert "not tried again" in run.stderr
    assert len((tmp_path / "asked.refused").read_text("utf-8").splitlines()) == 1
    assert not (tmp_path / "asked.pauses").exists()


def test_an_organisation_that_forbids_all_users_is_told_what_to_do(tmp_path: Path) -> None:
    """The receiver is built once, the role refused once, and the message names the option and the section about it."""
    run = run_live("deploy.sh", tmp_path, stand_in=failing('*"--member=allUsers"*', NOT_PERMITTED, 99))
    assert run.returncode == 2
    assert len((tmp_path / "asked.refused").read_text("utf-8").splitlines()) == 1
    assert [c.plain[2] for c in asked_of(tmp_path) if c.begins("functions", "deploy")] == [f"{NAME}-receive"]
    section = re.search(r'--public-access no-iam-check; .* docs/deploy-gcp\.md, "([^"]+)"', run.stderr)
    assert section
    assert f"\n## {section[1]}\n" in (ROOT / "docs/deploy-gcp.md").read_text("utf-8")


def test_the_channel_that_was_made_is_the_one_that_is_told(tmp_path: Path) -> None:
    """Its name comes from the command that made it: a list made seconds later may not have it yet."""
    made = f"projects/{PROJECT}/notificationChannels/42"
    stand_in = STAND_IN.replace(
        r"""*"channels list"*) printf '{name}\temail\t{email}\tchannels/1\n' ;;""",
        f'*"channels create"*"value(name)"*) echo {made} ;;',
    )
    assert made in stand_in
    commands = live("deploy.sh", tmp_path, "--work-dir", str(tmp_path / "work"), stand_in=stand_in)
    assert len([c for c in commands if c.begins("beta", "monitoring", "channels")]) == 2
    for path in (tmp_path / "work/alarms").glob("*.json"):
        assert json.loads(path.read_text("utf-8"))["notificationChannels"] == [made]


def test_the_ways_for_organisations_that_forbid_all_users() -> None:
    """`no-iam-check` switches the check off after the deployment; `none` lets nobody in and says so."""
    (update,) = dry_run("deploy.sh", "--public-access", "no-iam-check").of("run", "services", "update")
    assert "no-invoker-iam-check" in update.flags
    for way in ("no-iam-check", "none"):
        text = " ".join(word for c in dry_run("deploy.sh", "--public-access", way).commands for word in c.words)
        assert "allUsers" not in text
        assert "--allow-unauthenticated" not in text.replace("--no-allow-unauthenticated", "")
    said = script(
        "deploy.sh", "--project", PROJECT, "--alarm-email", EMAIL, "--public-access", "none", "--dry-run"
    ).stderr
    assert "Nobody may call it yet" in said


def test_the_queue_is_there_before_the_function() -> None:
    """Topics, subscriptions and the right to move dead letters come first; alarms after their metrics."""
    commands = dry_run("deploy.sh").commands

    def at(*path: str) -> list[int]:
        return [index for index, command in enumerate(commands) if command.begins(*path)]

    functions = min(at("functions", "deploy"))
    assert max(at("pubsub", "subscriptions", "create")) < functions
    assert max(at("pubsub", "subscriptions", "add-iam-policy-binding")) < functions
    assert max(at("storage", "buckets", "add-iam-policy-binding")) < functions
    assert max(at("logging", "metrics", "create")) < min(at("alpha", "monitoring", "policies", "create"))


def seconds(text: str) -> int:
    """A duration such as 60s."""
    return int(text.removesuffix("s"))


def listed(text: str) -> list[str]:
    """What stands between commas."""
    return sorted(text.split(","))


OPTIONAL = {"silence", "webhook_errors", "webhook_blocked", "webhook_check_failed"}


def gcloud_parts(*options: str) -> dict[str, Any]:
    """What the gcloud path makes, in the same words as `terraform_parts`."""
    run = dry_run("deploy.sh", *options)
    (bucket,), (repository,) = (
        run.of("storage", "buckets", "update"),
        run.of("artifacts", "repositories", "create"),
    )
    (location,) = run.of("storage", "buckets", "create")
    (services,) = run.of("services", "enable")
    (cleanup,) = run.of("artifacts", "repositories", "set-cleanup-policies")
    functions = {}
    for command in run.of("functions", "deploy"):
        flags = command.flags
        env = dict(pair.split("=", 1) for pair in flags["set-env-vars"].removeprefix("^|^").split("|"))
        functions[command.plain[2]] = {
            "region": flags["region"],
            "runtime": flags["runtime"],
            "entry_point": flags["entry-point"],
            "account": flags["run-service-account"],
            "builder": flags["build-service-account"],
            "repository": flags["docker-repository"],
            "memory": flags["memory"],
            "cpu": flags["cpu"],
            "concurrency": int(flags["concurrency"]),
            "instances": (int(flags["min-instances"]), int(flags["max-instances"])),
            "timeout": seconds(flags["timeout"]),
            "ingress": flags["ingress-settings"],
            "environment": env,
        }
    return {
        "services": sorted(services.plain[2:]),
        "accounts": sorted(command.plain[3] for command in run.of("iam", "service-accounts", "create")),
        "topics": {
            command.plain[3]: (
                seconds(command.flags["message-retention-duration"]),
                listed(command.flags["message-storage-policy-allowed-regions"]),
            )
            for command in run.of("pubsub", "topics", "create")
        },
        "subscriptions": {
            command.plain[3]: {
                "topic": command.flags["topic"],
                "ack": int(command.flags["ack-deadline"]),
                "retention": seconds(command.flags["message-retention-duration"]),
                "expires": command.flags["expiration-period"],
                "retry": (command.flags.get("min-retry-delay"), command.flags.get("max-retry-delay")),
                "dead_letters": (command.flags.get("dead-letter-topic"), command.flags.get("max-delivery-attempts")),
            }
            for command in run.of("pubsub", "subscriptions", "create")
        },
        "bucket": {
            "name": bucket.plain[3].removeprefix("gs://"),
            "location": location.flags["location"],
            "private": {"uniform-bucket-level-access", "public-access-prevention"} <= bucket.flags.keys(),
            "soft_delete_days": int(bucket.flags["soft-delete-duration"].removesuffix("d")),
            "lifecycle": sorted(
                (rule["action"]["type"], rule["condition"]["age"], tuple(rule["condition"].get("matchesPrefix", ())))
                for rule in json.loads(Path(bucket.flags["lifecycle-file"]).read_text("utf-8"))["rule"]
            ),
        },
        "secrets": {secret.plain[2]: listed(secret.flags["locations"]) for secret in run.of("secrets", "create")},
        "repository": (
            repository.plain[3],
            repository.flags["location"],
            repository.flags["repository-format"].upper(),
        ),
        "cleanup": sorted(policy["name"] for policy in json.loads(Path(cleanup.flags["policy"]).read_text("utf-8"))),
        "functions": functions,
        "jobs": {
            job.plain[4]: {
                "region": job.flags["location"],
                "schedule": (job.flags["schedule"], job.flags["time-zone"]),
                "method": job.flags["http-method"],
                "account": job.flags["oidc-service-account-email"],
                "audience_is_address": job.flags["oidc-token-audience"] == job.flags["uri"],
                "deadline": seconds(job.flags["attempt-deadline"]),
                "retries": int(job.flags["max-retry-attempts"]),
            }
            for job in run.of("scheduler", "jobs", "create", "http")
        },
        "grants": gcloud_grants(run.commands),
        "metrics": sorted(command.plain[3] for command in run.of("logging", "metrics", "create")),
        "channel": [command.flags["channel-labels"] for command in run.of("beta", "monitoring", "channels", "create")],
        "alarms": sorted(
            Path(command.flags["policy-from-file"]).stem
            for command in run.of("alpha", "monitoring", "policies", "create")
        ),
        "dashboards": len(run.of("monitoring", "dashboards", "create")),
    }


def gcloud_grants(commands: tuple[Command, ...]) -> list[tuple[str, str, str, str]]:
    """Each role: on what, to whom, which, limited to which prefixes."""
    found = []
    for command in commands:
        if "add-iam-policy-binding" in command.plain:
            on = command.plain[command.plain.index("add-iam-policy-binding") + 1].removeprefix("gs://")
            condition = command.flags.get("condition", "None")
            prefixes = "" if condition == "None" else " ".join(re.findall(r'startsWith\("([^"]+)"\)', condition))
            found.append((on, command.flags["member"], command.flags["role"], prefixes))
    return sorted(
        (on, member.replace("PROJECT_NUMBER", NUMBER), role, prefixes.replace("PROJECT_NUMBER", NUMBER))
        for on, member, role, prefixes in found
    )


def terraform_parts(**variables: Any) -> dict[str, Any]:
    """What Terraform makes."""
    plan = planned(**variables)
    store = plan.resources["google_storage_bucket.store"]
    repository = plan.resources["google_artifact_registry_repository.images"]
    ingress = {"ALLOW_ALL": "all", "ALLOW_INTERNAL_ONLY": "internal-only"}
    functions = {}
    for values in plan.of("google_cloudfunctions2_function").values():
        build, service = values["build_config"][0], values["service_config"][0]
        functions[values["name"]] = {
            "region": values["location"],
            "runtime": build["runtime"],
            "entry_point": build["entry_point"],
            "account": service["service_account_email"],
            "builder": build["service_account"],
            "repository": build["docker_repository"],
            "memory": service["available_memory"],
            "cpu": service["available_cpu"],
            "concurrency": service["max_instance_request_concurrency"],
            "instances": (service["min_instance_count"], service["max_instance_count"]),
            "timeout": service["timeout_seconds"],
            "ingress": ingress[service["ingress_settings"]],
            "environment": service["environment_variables"],
        }
    return {
        "services": sorted(values["service"] for values in plan.of("google_project_service").values()),
        "accounts": sorted(values["account_id"] for values in plan.of("google_service_account").values()),
        "topics": {
            values["name"]: (
                seconds(values["message_retention_duration"]),
                sorted(values["message_storage_policy"][0]["allowed_persistence_regions"]),
            )
            for values in plan.of("google_pubsub_topic").values()
        },
        "subscriptions": {
            values["name"]: {
                "topic": last(values["topic"]),
                "ack": values["ack_deadline_seconds"],
                "retention": seconds(values["message_retention_duration"]),
                "expires": "never" if values["expiration_policy"] == [{"ttl": ""}] else values["expiration_policy"],
                "retry": next(
                    ((r["minimum_backoff"], r["maximum_backoff"]) for r in values["retry_policy"]), (None, None)
                ),
                "dead_letters": next(
                    (
                        (last(d["dead_letter_topic"]), str(d["max_delivery_attempts"]))
                        for d in values["dead_letter_policy"]
                    ),
                    (None, None),
                ),
            }
            for values in plan.of("google_pubsub_subscription").values()
        },
        "bucket": {
            "name": store["name"],
            "location": store["location"],
            "private": store["uniform_bucket_level_access"] and store["public_access_prevention"] == "enforced",
            "soft_delete_days": store["soft_delete_policy"][0]["retention_duration_seconds"] // 86_400,
            "lifecycle": sorted(
                (
                    rule["action"][0]["type"],
                    rule["condition"][0]["age"],
                    tuple(rule["condition"][0]["matches_prefix"] or ()),
                )
                for rule in store["lifecycle_rule"]
            ),
        },
        "secrets": {
            values["secret_id"]: sorted(
                replica["location"] for replica in values["replication"][0]["user_managed"][0]["replicas"]
            )
            for values in plan.of("google_secret_manager_secret").values()
        },
        "repository": (repository["repository_id"], repository["location"], repository["format"]),
        "cleanup": sorted(policy["id"] for policy in repository["cleanup_policies"]),
        "functions": functions,
        "jobs": {
            job["name"]: {
                "region": job["region"],
                "schedule": (job["schedule"], job["time_zone"]),
                "method": job["http_target"][0]["http_method"],
                "account": job["http_target"][0]["oidc_token"][0]["service_account_email"],
                "audience_is_address": job["http_target"][0]["oidc_token"][0]["audience"]
                == job["http_target"][0]["uri"],
                "deadline": seconds(job["attempt_deadline"]),
                "retries": job["retry_config"][0]["retry_count"],
            }
            for job in plan.of("google_cloud_scheduler_job").values()
        },
        "grants": terraform_grants(plan.resources),
        "metrics": sorted(values["name"] for values in plan.of("google_logging_metric").values()),
        "channel": [
            f"email_address={values['labels']['email_address']}"
            for values in plan.of("google_monitoring_notification_channel").values()
        ],
        "alarms": sorted(
            values["user_labels"]["alarm"] for values in plan.of("google_monitoring_alert_policy").values()
        ),
        "dashboards": len(plan.of("google_monitoring_dashboard")),
    }


def last(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def terraform_grants(resources: Any) -> list[tuple[str, str, str, str]]:
    """The same of Terraform."""
    found = []
    for address, values in resources.items():
        if "_iam_" in address:
            keys = ("topic", "subscription", "secret_id", "bucket", "repository", "name", "project")
            on = next(last(str(values[key])) for key in keys if values.get(key))
            expression = " ".join(condition["expression"] for condition in values["condition"])
            prefixes = re.findall(r'startsWith\("([^"]+)"\)', expression)
            # The source's own bucket is Terraform's alone: gcloud uploads to Google's.
            kept = [prefix for prefix in prefixes if f"{NAME}-source/" not in prefix]
            found.append((on, values["member"], values["role"], " ".join(kept)))
    return sorted(found)


PARTS = (
    "services",
    "accounts",
    "topics",
    "subscriptions",
    "bucket",
    "secrets",
    "repository",
    "cleanup",
    "functions",
    "jobs",
    "grants",
    "metrics",
    "channel",
    "alarms",
    "dashboards",
)


WAYS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    ((), {}),
    (("--silence-hours=12", "--webhook-check=on"), {"silence_hours": 12, "webhook_check": True}),
    (
        ("--webhook-check=on", "--webhook-ids=1,22", "--workspace-id=7", "--api-url=https://api.example.org"),
        {"webhook_check": True, "webhook_ids": ["1", "22"], "workspace_id": 7, "api_url": "https://api.example.org"},
    ),
)
"""The same deployments in the words of both."""


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("options", "variables"), WAYS, ids=["defaults", "everything", "chosen"])
def test_both_paths_make_the_same(part: str, options: tuple[str, ...], variables: dict[str, Any]) -> None:
    """Terraform and the script make the same parts with the same values, from the same defaults."""
    assert gcloud_parts(*options)[part] == terraform_parts(**variables)[part]


def test_every_part_is_compared() -> None:
    """Nothing that one of the two paths makes stays out of the comparison above."""
    assert gcloud_parts().keys() == terraform_parts().keys() == set(PARTS)
    compared = {
        "google_project_service",
        "google_service_account",
        "google_pubsub_topic",
        "google_pubsub_subscription",
        "google_storage_bucket",
        "google_secret_manager_secret",
        "google_artifact_registry_repository",
        "google_cloudfunctions2_function",
        "google_cloud_scheduler_job",
        "google_logging_metric",
        "google_monitoring_notification_channel",
        "google_monitoring_alert_policy",
        "google_monitoring_dashboard",
    }
    # The source's zip, the pauses, what stops a destroy; and Pub/Sub's own account, which nothing but its roles shows.
    of_terraform_alone = {"google_storage_bucket_object", "time_sleep", "terraform_data"}
    of_terraform_alone |= {"google_project_service_identity"}
    assert dry_run("deploy.sh").of("beta", "services", "identity", "create")
    types = {address.partition(".")[0] for address in planned().resources}
    assert {type_ for type_ in types if "_iam_" not in type_} == compared | of_terraform_alone


def test_the_environment_is_one_that_the_receiver_takes() -> None:
    """The settings of the gcloud path start the receiver, as those of Terraform do."""
    for function in gcloud_parts()["functions"].values():
        Settings.from_env(function["environment"])


def test_definitions_are_filled_in_as_terraform_does() -> None:
    """Metrics and alarms have the same content on both paths; gcloud's alarms carry their channels inside."""
    filled: dict[str, Json] = dict(dry_run("deploy.sh", *EVERYTHING).filled)
    for kind in ("metrics", "alarms"):
        for name, definition in definitions(kind).items():
            ours = {key: value for key, value in filled[f"{kind}/{name}.json"].items() if key != "notificationChannels"}
            assert ours == definition, name
    assert "${" not in json.dumps([content for name, content in filled.items() if name != "dashboard.json"])


def test_destroy_removes_what_deploy_makes() -> None:
    """Each thing that is created has its removal; what holds events is only removed after a question."""
    made, gone = dry_run("deploy.sh", *EVERYTHING), dry_run("destroy.sh")

    def named(path: tuple[str, ...], run: Any) -> set[str]:
        return {command.plain[len(path)].removeprefix("gs://") for command in run.of(*path)}

    for create, delete in (
        (("pubsub", "topics", "create"), ("pubsub", "topics", "delete")),
        (("pubsub", "subscriptions", "create"), ("pubsub", "subscriptions", "delete")),
        (("iam", "service-accounts", "create"), ("iam", "service-accounts", "delete")),
        (("storage", "buckets", "create"), ("storage", "rm")),
        (("secrets", "create"), ("secrets", "delete")),
        (("artifacts", "repositories", "create"), ("artifacts", "repositories", "delete")),
        (("functions", "deploy"), ("functions", "delete")),
        (("scheduler", "jobs", "create", "http"), ("scheduler", "jobs", "delete")),
        (("logging", "metrics", "create"), ("logging", "metrics", "delete")),
    ):
        removed = {name.partition("@")[0] for name in named(delete, gone)}
        assert named(create, made) == removed, create
    assert len(gone.of("alpha", "monitoring", "policies", "delete")) == len(definitions("alarms"))
    assert len(gone.of("projects", "remove-iam-policy-binding")) == 2


def test_destroy_asks_and_minds_stored_events(tmp_path: Path) -> None:
    """Without an answer nothing is deleted; with events in the store it refuses before it asks."""
    quiet = STAND_IN.replace("case", 'case "$*" in *"storage ls"*) exit 1 ;; esac\ncase', 1)
    full = quiet
    refused = [(quiet, "nothing was deleted")]
    for prefix, said in (
        ("spool", "events are still stored"),
        ("quarantine", "events are still stored"),
        ("claims", "events are still stored"),
        ("addresses", "addresses that you accepted are still stored"),
        ("rotations", "keys whose replacement is under way are still stored"),
    ):
        full = quiet.replace("case", f'case "$*" in *"/{prefix}/"*) echo gs://b/{prefix}/x; exit ;; esac\ncase', 1)
        refused.append((full, said))
    for stand_in, said in refused:
        with pytest.raises(AssertionError, match=said):
            live_without_yes(tmp_path, stand_in)
        assert not [line for line in (tmp_path / "asked").read_text("utf-8").splitlines() if "delete" in line]
    commands = live("destroy.sh", tmp_path, "--with-stored-events", stand_in=full)
    assert [c for c in commands if c.begins("storage", "rm")]


def live_without_yes(directory: Path, stand_in: str) -> None:
    """Answer the question of destroy.sh with no."""
    env = put_stand_in(stand_in, directory)
    (directory / "asked").write_text("", "utf-8")
    command = ["bash", str(INFRA / "destroy.sh"), "--project", PROJECT]
    run = subprocess.run(command, env=env, input="no\n", capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


SMOKE = [sys.executable, str(ROOT / "scripts/smoke_gcp.py"), "--project", PROJECT, "--alarm-email", EMAIL]


def test_the_smoke_script_shows_what_it_would_do(tmp_path: Path) -> None:
    """A dry run of the smoke script prints the whole run, under a throwaway name, and does none of it."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text("#!/bin/sh\nexit 97\n", "utf-8")
    gcloud.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    run = subprocess.run([*SMOKE, "--dry-run"], env=env, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    assert "Dry run: nothing was done." in run.stdout
    for text in (
        "gcloud functions deploy dw-smoke-",
        "gcloud secrets versions add dw-smoke-",
        "subscriptions pull",
        "storage rm",
    ):
        assert text in run.stdout
    assert "have no account" in (ROOT / "scripts/smoke_gcp.py").read_text("utf-8")


def test_the_smoke_script_asks_first() -> None:
    """Without a yes nothing is done."""
    run = subprocess.run(SMOKE, input="no\n", capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "Nothing was done." in run.stdout
    assert "gcloud" not in run.stdout
