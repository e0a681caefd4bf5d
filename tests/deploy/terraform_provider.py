"""A stand-in for Terraform's providers, so that the real terraform validates and plans `infra/gcp` without a cloud.

Terraform asks a provider for its schema, and for the planned state of each resource, over gRPC (its plugin protocol,
version 5). This one answers with the schema in `data/google-provider.json`, taken from the published provider, and
plans what the configuration says. What Google would compute is made up where something here refers to it (`COMPUTED`),
and unknown elsewhere. So references, types, unknown and missing arguments, conditions, `for_each` and `dynamic` are all
judged by terraform itself; what only Google's servers know (a value that they refuse) is not. It also makes and deletes
whatever it is told to, in name alone, so that terraform's own order of doing so can be seen.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCHEMA: Final = Path(__file__).parent / "data/google-provider.json"
UNKNOWN: Final = msgpack.ExtType(0, b"\0")

Tree = dict[str, Any]

# The part of the protocol that is used: message, then field by number. `*` repeats, `%` is a map by name.
_MESSAGES: Final[Mapping[str, Mapping[int, str]]] = {
    "Value": {1: "msgpack bytes"},
    "Diagnostic": {1: "severity int32", 2: "summary string"},
    "Attribute": {1: "name string", 2: "type bytes", 4: "required bool", 5: "optional bool", 6: "computed bool"},
    "Block": {1: "version int64", 2: "attributes *Attribute", 3: "block_types *Nested"},
    "Nested": {1: "type_name string", 2: "block Block", 3: "nesting int32", 4: "min_items int64", 5: "max_items int64"},
    "Schema": {1: "version int64", 2: "block Block"},
    "Empty": {},
    "Schemas": {1: "provider Schema", 2: "resource_schemas %Schema", 3: "data_source_schemas %Schema"},
    "Config": {1: "config Value"},
    "Prepared": {1: "prepared_config Value"},
    "Configure": {1: "terraform_version string", 2: "config Value"},
    "Typed": {1: "type_name string", 2: "config Value"},
    "Diagnostics": {1: "diagnostics *Diagnostic"},
    "PlanRequest": {1: "type_name string", 2: "prior_state Value", 3: "proposed_new_state Value", 4: "config Value"},
    "Planned": {1: "planned_state Value", 4: "diagnostics *Diagnostic", 5: "legacy_type_system bool"},
    "State": {1: "state Value"},
    "ApplyRequest": {1: "type_name string", 2: "prior_state Value", 3: "planned_state Value", 4: "config Value"},
    "Applied": {1: "new_state Value", 3: "diagnostics *Diagnostic", 4: "legacy_type_system bool"},
    "Current": {1: "type_name string", 2: "current_state Value"},
    "Refreshed": {1: "new_state Value", 2: "diagnostics *Diagnostic"},
    "Raw": {1: "json bytes"},
    "Stored": {1: "type_name string", 2: "version int64", 3: "raw_state Raw"},
    "Upgraded": {1: "upgraded_state Value", 2: "diagnostics *Diagnostic"},
}


def _protocol() -> Mapping[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfplugin5.proto", package="tfplugin5", syntax="proto3")
    field_types = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, text in fields.items():
            field_name, kind = text.split()
            field = message.field.add(name=field_name, number=number, label=field_types.LABEL_OPTIONAL)
            if kind[0] in "*%":
                field.label = field_types.LABEL_REPEATED
            if kind[0] == "%":
                entry = message.nested_type.add(name=f"{field_name.title().replace('_', '')}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=field_types.TYPE_STRING, label=field_types.LABEL_OPTIONAL)
                entry.field.add(
                    name="value",
                    number=2,
                    type=field_types.TYPE_MESSAGE,
                    type_name=f".tfplugin5.{kind[1:]}",
                    label=field_types.LABEL_OPTIONAL,
                )
                field.type, field.type_name = field_types.TYPE_MESSAGE, f".tfplugin5.{name}.{entry.name}"
            elif (bare := kind.lstrip("*")) in _MESSAGES:
                field.type, field.type_name = field_types.TYPE_MESSAGE, f".tfplugin5.{bare}"
            else:
                field.type = getattr(field_types, f"TYPE_{bare.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tfplugin5.{name}")) for name in _MESSAGES
    }


P: Final = _protocol()

# What Google would answer, by resource type: from the planned values, where something in infra/gcp refers to it.
COMPUTED: Final[Mapping[str, Callable[[Tree, str], Tree]]] = {
    "google_pubsub_topic": lambda v, project: {"id": f"projects/{project}/topics/{v['name']}"},
    "google_pubsub_subscription": lambda v, project: {"id": f"projects/{project}/subscriptions/{v['name']}"},
    "google_secret_manager_secret": lambda v, project: {"id": f"projects/{project}/secrets/{v['secret_id']}"},
    "google_artifact_registry_repository": lambda v, project: {
        "id": f"projects/{project}/locations/{v['location']}/repositories/{v['repository_id']}",
        "name": v["repository_id"],
    },
    "google_service_account": lambda v, project: {
        "email": f"{v['account_id']}@{project}.iam.gserviceaccount.com",
        "id": f"projects/{project}/serviceAccounts/{v['account_id']}@{project}.iam.gserviceaccount.com",
    },
    "google_monitoring_notification_channel": lambda _, project: {"id": f"projects/{project}/notificationChannels/1"},
    "google_cloudfunctions2_function": lambda v, project: {
        "service_config": [{**v["service_config"][0], "uri": f"https://{v['name']}-{project}.a.run.app"}]
    },
}

_SMALL_PROVIDERS: Final[Mapping[str, Tree]] = {
    "archive": {
        "data": {
            "archive_file": {
                "attributes": {
                    "type": {"type": "string", "required": True},
                    "source_dir": {"type": "string", "required": False},
                    "output_path": {"type": "string", "required": True},
                    "excludes": {"type": ["set", "string"], "required": False},
                    "output_md5": {"type": "string", "required": False, "computed": True},
                },
                "blocks": {},
            }
        }
    },
    "time": {
        "resources": {
            "time_sleep": {
                "attributes": {
                    "create_duration": {"type": "string", "required": False},
                    "triggers": {"type": ["map", "string"], "required": False},
                    "id": {"type": "string", "required": False, "computed": True},
                },
                "blocks": {},
            }
        }
    },
}
_PROVIDER_SETTINGS: Final[Tree] = {
    "attributes": {
        "project": {"type": "string", "required": False},
        "region": {"type": "string", "required": False},
        "default_labels": {"type": ["map", "string"], "required": False},
    },
    "blocks": {},
}
_PROJECT: Final[Tree] = {
    "attributes": {
        "project_id": {"type": "string", "required": False},
        "number": {"type": "string", "required": False, "computed": True},
    },
    "blocks": {},
}
_READ: Final[Mapping[str, Tree]] = {
    "google_project": {"number": "123456789012"},
    "archive_file": {"output_md5": "0" * 32},
}


class Provider:
    """The four providers of `infra/gcp` behind one port on loopback. ``deleted`` are the types of what was deleted."""

    def __init__(self, project: str) -> None:
        self.project: Final = project
        self.deleted: Final[list[str]] = []
        google = json.loads(SCHEMA.read_text("utf-8"))["resources"]
        self.resources: Final[Mapping[str, Tree]] = {**google, **_SMALL_PROVIDERS["time"]["resources"]}
        self.data: Final[Mapping[str, Tree]] = {"google_project": _PROJECT, **_SMALL_PROVIDERS["archive"]["data"]}
        self._server: Final = grpc.server(ThreadPoolExecutor(8))
        handlers = {
            "GetSchema": (self._schemas, "Empty"),
            "PrepareProviderConfig": (lambda request: P["Prepared"](prepared_config=request.config), "Config"),
            "ValidateResourceTypeConfig": (lambda _: P["Diagnostics"](), "Typed"),
            "ValidateDataSourceConfig": (lambda _: P["Diagnostics"](), "Typed"),
            "Configure": (lambda _: P["Diagnostics"](), "Configure"),
            "PlanResourceChange": (self._plan, "PlanRequest"),
            "ReadDataSource": (self._read, "Typed"),
            "ApplyResourceChange": (self._apply, "ApplyRequest"),
            "ReadResource": (lambda request: P["Refreshed"](new_state=request.current_state), "Current"),
            "UpgradeResourceState": (_upgraded, "Stored"),
            "Stop": (lambda _: P["Empty"](), "Empty"),
        }
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "tfplugin5.Provider",
                    {
                        name: grpc.unary_unary_rpc_method_handler(
                            _without_context(answer),
                            request_deserializer=P[request].FromString,
                            response_serializer=lambda message: message.SerializeToString(),
                        )
                        for name, (answer, request) in handlers.items()
                    },
                ),
            )
        )
        self.port: Final = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def environment(self) -> dict[str, str]:
        """What terraform must be started with to find it."""
        address = {"Network": "tcp", "String": f"127.0.0.1:{self.port}"}
        entry = {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True, "Addr": address}
        names = [f"registry.terraform.io/hashicorp/{name}" for name in ("google", "google-beta", "archive", "time")]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "TF_REATTACH_PROVIDERS": json.dumps(dict.fromkeys(names, entry)),
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _schemas(self, _: Any) -> Any:
        return P["Schemas"](
            provider=_schema(_PROVIDER_SETTINGS),
            resource_schemas={name: _schema(tree) for name, tree in self.resources.items()},
            data_source_schemas={name: _schema(tree) for name, tree in self.data.items()},
        )

    def _plan(self, request: Any) -> Any:
        tree = self.resources[request.type_name]
        state = msgpack.unpackb(request.proposed_new_state.msgpack, strict_map_key=False)
        if state is not None:
            made_up = COMPUTED.get(request.type_name, _nothing)(state, self.project)
            state = _with_unknown({**state, **made_up}, tree)
        return P["Planned"](planned_state=P["Value"](msgpack=msgpack.packb(state)), legacy_type_system=True)

    def _apply(self, request: Any) -> Any:
        state = msgpack.unpackb(request.planned_state.msgpack, strict_map_key=False)
        if state is None:
            self.deleted.append(request.type_name)
        else:
            state = _made(state, self.resources[request.type_name])
        return P["Applied"](new_state=P["Value"](msgpack=msgpack.packb(state)), legacy_type_system=True)

    def _read(self, request: Any) -> Any:
        state = {**msgpack.unpackb(request.config.msgpack), **_READ[request.type_name]}
        return P["State"](state=P["Value"](msgpack=msgpack.packb(state)))


@contextmanager
def provider(project: str) -> Iterator[Provider]:
    """The stand-in, running."""
    running = Provider(project)
    try:
        yield running
    finally:
        running.stop()


def terraform(program: str, directory: Path, env: Mapping[str, str], *arguments: str) -> str:
    """Run terraform in a directory; what it says on standard output.

    Raises:
        AssertionError: it failed; with all that it said.
    """
    run = subprocess.run(
        [program, *arguments], cwd=directory, env=dict(env), capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def _upgraded(request: Any) -> Any:
    state = msgpack.packb(json.loads(request.raw_state.json))
    return P["Upgraded"](upgraded_state=P["Value"](msgpack=state))


def _nothing(_: Tree, __: str) -> Tree:
    return {}


def _without_context(answer: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda request, _: answer(request)


def _schema(tree: Tree) -> Any:
    return P["Schema"](block=_block(tree))


def _block(tree: Tree) -> Any:
    attributes = [
        P["Attribute"](
            name=name,
            type=json.dumps(attribute["type"]).encode(),
            required=attribute["required"],
            optional=not attribute["required"] and not attribute.get("computed"),
            # The bindings do not say what may be left to Google; where something here refers to it, it may.
            computed=bool(attribute.get("computed")) or (not attribute["required"] and name in {"id", "name"}),
        )
        for name, attribute in tree["attributes"].items()
    ]
    nested = [
        P["Nested"](
            type_name=name,
            block=_block(block),
            nesting=2,
            min_items=int(block["required"]),
            max_items=0 if block["many"] else 1,
        )
        for name, block in tree["blocks"].items()
    ]
    return P["Block"](attributes=attributes, block_types=nested)


def _with_unknown(state: Tree, tree: Tree) -> Tree:
    """The state with what only Google knows marked as unknown."""
    known = dict(state)
    for name, attribute in tree["attributes"].items():
        if known.get(name) is None and (attribute.get("computed") or name == "id"):
            known[name] = UNKNOWN
    for name, block in tree["blocks"].items():
        known[name] = [_with_unknown(each, block) for each in known.get(name) or []]
    return known


def _made(state: Tree, tree: Tree) -> Tree:
    """The state as it is once the thing was made: something in each place that was unknown."""
    known = dict(state)
    for name, attribute in tree["attributes"].items():
        if known.get(name) == UNKNOWN:
            known[name] = {"string": "made-up", "number": 1, "bool": False}.get(str(attribute["type"]))
    for name, block in tree["blocks"].items():
        known[name] = [_made(each, block) for each in known.get(name) or []]
    return known
