"""As much of a Bicep compiler as the templates in `infra/azure` need, on the syntax tree of tree-sitter-bicep.

The real one is not on the package registries that a checkout can rely on. This one resolves every name, evaluates every
expression and expands loops, conditions and modules, so that tests judge the resources as they would be deployed. What
it does not know it refuses, with the file and the line: a construct that is not here is not quietly let through.
What Azure computes while it deploys (an address, an identity) is made up here, and noted in `reads`.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

SUBSCRIPTION: Final = "/subscriptions/00000000-0000-0000-0000-000000000001"
TENANT: Final = "00000000-0000-0000-0000-000000000002"
_PARSER: Final = Parser(Language(tree_sitter_bicep.language()))
_NAMESPACE: Final = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_TYPES: Final[Mapping[str, type]] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
_DECORATORS: Final = {"description", "allowed", "minLength", "maxLength", "minValue", "maxValue", "metadata", "secure"}
_RULES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "allowed": lambda value, limit: value in limit,
    "minValue": lambda value, limit: bool(value >= limit),
    "maxValue": lambda value, limit: bool(value <= limit),
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
}
_DECLARATIONS: Final = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}

Tree = dict[str, Any]


class BicepError(Exception):
    """A template that the compiler, or Azure before it deploys anything, would refuse."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One statement of a template; ``subject`` is a type, ``type@version`` or a module's path, by its kind."""

    kind: str
    name: str
    subject: str
    value: Node | None
    decorators: Mapping[str, Node]
    existing: bool
    line: int


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as it would be deployed. ``scope`` is the id of what an extension resource stands on."""

    module: str
    symbol: str
    type: str
    version: str
    id: str
    name: str
    body: Tree
    scope: str | None = None
    existing: bool = False


@dataclass(slots=True)
class Deployment:
    """What a template makes. ``reads`` are values that only Azure knows: type with version, and path.

    ``waits`` are the modules that each module waits for, because it says so or takes their outputs.
    """

    resources: list[Resource] = field(default_factory=list)
    outputs: Tree = field(default_factory=dict)
    reads: set[tuple[str, str]] = field(default_factory=set)
    waits: dict[str, set[str]] = field(default_factory=dict)

    def of(self, type_: str) -> list[Resource]:
        """The resources of a type."""
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str) -> Resource:
        """The only resource of a type."""
        (resource,) = self.of(type_)
        return resource

    def before(self, module: str) -> set[str]:
        """The modules that are whole when a module begins."""
        direct = self.waits.get(module, set())
        return direct.union(*map(self.before, direct))


class Template:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.root: Final = _PARSER.parse(path.read_bytes()).root_node
        self.scope = "resourceGroup"
        self.declarations: Final[list[Declaration]] = []
        decorators: dict[str, Node] = {}
        # With a syntax error in it nothing of the tree is sure; `faults` says where it is.
        for node in () if self.root.has_error else self.root.named_children:
            if node.type == "decorators":
                decorators = {_text(_function(call)): call for d in node.named_children for call in d.named_children}
            elif node.type == "target_scope_assignment":
                self.scope = _literal(node.named_children[-1])
            elif node.type in _DECLARATIONS:
                self.declarations.append(_declaration(node, decorators))
                decorators = {}
            elif node.type != "comment":
                raise BicepError(f"{self.where(node)}: {node.type} is more than this front end knows")

    @property
    def params(self) -> dict[str, Declaration]:
        """The parameters by name."""
        return self._of("param")

    @property
    def outputs(self) -> dict[str, Declaration]:
        """The outputs by name."""
        return self._of("output")

    @property
    def modules(self) -> dict[str, Declaration]:
        """The modules by symbol."""
        return self._of("module")

    def _of(self, kind: str) -> dict[str, Declaration]:
        return {declaration.name: declaration for declaration in self.declarations if declaration.kind == kind}

    def symbols(self) -> dict[str, Declaration]:
        """What an expression can name."""
        return {declaration.name: declaration for declaration in self.declarations if declaration.kind != "output"}

    def where(self, node: Node) -> str:
        """File and line, for a message."""
        return f"{self.path.name}:{node.start_point[0] + 1}"

    def faults(self) -> list[str]:
        """Syntax errors, names that are not declared, declared twice or never used, and what has no description."""
        found = [f"{self.where(node)}: syntax error" for node in _walk(self.root) if node.is_error or node.is_missing]
        names = [declaration.name for declaration in self.declarations if declaration.kind != "output"]
        twice = sorted({name for name in names if names.count(name) > 1})
        found += [f"{self.path.name}: {name} is declared twice" for name in twice]
        used: set[str] = set()
        for declaration in self.declarations:
            for call in declaration.decorators.values():
                if _text(_function(call)) not in _DECORATORS:
                    found.append(f"{self.where(call)}: @{_text(_function(call))} is not known")
            if declaration.kind == "param" and "description" not in declaration.decorators:
                found.append(f"{self.path.name}:{declaration.line}: {declaration.name} has no description")
            for node, local in _names(declaration.value, frozenset()):
                name = _text(node)
                used.add(name)
                if name not in names and name not in local:
                    found.append(f"{self.where(node)}: {name} is not declared")
        unused = [d for d in self.declarations if d.kind in ("param", "var") or d.existing]
        found += [f"{self.path.name}:{d.line}: {d.name} is never used" for d in unused if d.name not in used]
        return found


def _declaration(node: Node, decorators: Mapping[str, Node]) -> Declaration:
    kind = _DECLARATIONS[node.type]
    children = [child for child in node.children if child.type != "comment"]
    name = _text(children[1])
    subject = ""
    if kind in ("param", "output"):
        subject = _text(children[2])
    elif kind in ("resource", "module"):
        subject = _literal(children[2])
    has_value = any(child.type == "=" for child in children)
    return Declaration(
        kind,
        name,
        subject,
        children[-1] if has_value else None,
        decorators,
        any(child.type == "existing" for child in children),
        node.start_point[0] + 1,
    )


def _text(node: Node) -> str:
    return node.text.decode() if node.text is not None else ""


def _literal(node: Node) -> str:
    return "".join(_text(child) for child in node.named_children)


def _function(call: Node) -> Node:
    node = call.child_by_field_name("function")
    if node is None:
        raise BicepError(f"line {call.start_point[0] + 1}: a call without a name")
    return node


def _field(node: Node, name: str) -> Node:
    child = node.child_by_field_name(name)
    if child is None:
        raise BicepError(f"line {node.start_point[0] + 1}: {node.type} without {name}")
    return child


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _names(node: Node | None, local: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Every identifier that an expression reads, with the loop variables that are known there."""
    if node is None:
        return
    if node.type == "identifier":
        yield node, local
    elif node.type == "object_property":
        if node.named_children[0].type == "string":
            yield from _names(node.named_children[0], local)
        yield from _names(_value_of(node), local)
    elif node.type == "call_expression":
        yield from _names(node.child_by_field_name("arguments"), local)
    elif node.type == "for_statement":
        variable, source, body = _loop(node)
        yield from _names(source, local)
        yield from _names(body, local | {variable})
    else:
        for child in node.named_children:
            if child.type != "property_identifier":
                yield from _names(child, local)


def _value_of(node: Node) -> Node:
    values = [child for child in node.named_children if child.type != "comment"]
    return values[-1]


def _loop(node: Node) -> tuple[str, Node, Node]:
    parts = [child for child in node.named_children if child.type != "comment"]
    if len(parts) != 3 or parts[0].type != "identifier":
        raise BicepError(f"line {node.start_point[0] + 1}: only `for item in items` is known here")
    return _text(parts[0]), parts[1], parts[2]


class Evaluation:
    """One template with its parameters."""

    def __init__(self, template: Template, params: Tree, group: str, deployment: Deployment, module: str) -> None:
        self.template = template
        self.group = group
        self.deployment = deployment
        self.module = module
        self.symbols = template.symbols()
        self.known: Tree = {}
        self.locals: list[Tree] = []
        unknown = sorted(params.keys() - template.params.keys())
        if unknown:
            raise BicepError(f"{template.path.name} has no parameter {', '.join(unknown)}")
        for name, declaration in template.params.items():
            self.known[name] = self._parameter(declaration, params)

    def run(self) -> Tree:
        """Make everything; the outputs."""
        for name, declaration in self.symbols.items():
            if declaration.kind in ("resource", "module"):
                self.symbol(name)
        outputs = {}
        for name, declaration in self.template.outputs.items():
            value = self.value(declaration.value)
            self._type(declaration, value)
            outputs[name] = value
        return outputs

    def _parameter(self, declaration: Declaration, params: Tree) -> Any:
        if declaration.name in params:
            value = params[declaration.name]
        elif declaration.value is not None:
            value = self.value(declaration.value)
        else:
            raise BicepError(f"{self.template.path.name}: the parameter {declaration.name} is not given")
        self._type(declaration, value)
        for rule, call in declaration.decorators.items():
            (limit,) = (self.value(argument) for argument in _field(call, "arguments").named_children)
            if rule in _RULES and not _RULES[rule](value, limit):
                raise BicepError(
                    f"{self.template.path.name}: {declaration.name} is {value!r}, against @{rule}({limit!r})"
                )
        return value

    def _type(self, declaration: Declaration, value: Any) -> None:
        wanted = _TYPES[declaration.subject]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise BicepError(f"{self.template.path.name}: {declaration.name} is {value!r}, not {declaration.subject}")

    # -- symbols

    def symbol(self, name: str) -> Any:
        """The value of a name: text and the like, a Resource, the outputs of a module, or a list of resources."""
        for scope in reversed(self.locals):
            if name in scope:
                return scope[name]
        if name not in self.known:
            declaration = self.symbols.get(name)
            if declaration is None:
                raise BicepError(f"{self.template.path.name}: {name} is not declared")
            match declaration.kind:
                case "resource":
                    self.known[name] = self._resource(declaration)
                case "module":
                    self.known[name] = self._module(declaration)
                case _:
                    self.known[name] = self.value(declaration.value)
        return self.known[name]

    def _resource(self, declaration: Declaration) -> Any:
        node = declaration.value
        if node is not None and node.type == "for_statement":
            made = []
            variable, source, body = _loop(node)
            for item in self._items(source):
                self.locals.append({variable: item})
                made.append(self._make(declaration, body))
                self.locals.pop()
            return made
        if node is not None and node.type == "if_statement":
            condition, body = node.named_children
            if not self.value(condition):
                return None
            node = body
        return self._make(declaration, node)

    def _make(self, declaration: Declaration, node: Node | None) -> Resource:
        body = self.value(node)
        type_, _, version = declaration.subject.partition("@")
        name = body.pop("name")
        parent, scope = body.pop("parent", None), body.pop("scope", None)
        for part in (parent, scope):
            if part is not None and not isinstance(part, Resource):
                raise BicepError(f"{self.template.path.name}:{declaration.line}: parent and scope are resources")
        if parent is not None and type_.rpartition("/")[0] != parent.type:
            raise BicepError(f"{self.template.path.name}:{declaration.line}: {parent.type} is no parent of {type_}")
        if parent is None and type_.count("/") > 1:
            raise BicepError(f"{self.template.path.name}:{declaration.line}: {type_} wants a parent")
        resource = Resource(
            self.module,
            declaration.name,
            type_,
            version,
            self._id(type_, name, parent, scope),
            name,
            body,
            scope.id if scope is not None else None,
            declaration.existing,
        )
        if not declaration.existing:
            if any(resource.id.lower() == other.id.lower() for other in self.deployment.resources):
                raise BicepError(f"{self.template.path.name}:{declaration.line}: {resource.id} is made twice")
            self.deployment.resources.append(resource)
        return resource

    def _id(self, type_: str, name: str, parent: Resource | None, scope: Resource | None) -> str:
        if parent is not None:
            return f"{parent.id}/{type_.rpartition('/')[2]}/{name}"
        if type_ == "Microsoft.Resources/resourceGroups":
            return f"{SUBSCRIPTION}/resourceGroups/{name}"
        return f"{scope.id if scope is not None else self.group}/providers/{type_}/{name}"

    def _module(self, declaration: Declaration) -> Tree:
        body = self.value(declaration.value)
        unknown = sorted(body.keys() - {"dependsOn", "name", "params", "scope"})
        if unknown:
            where = f"{self.template.path.name}:{declaration.line}"
            raise BicepError(f"{where}: no property of a module is called {', '.join(unknown)}")
        named = {_text(node) for node, _ in _names(declaration.value, frozenset())}
        self.deployment.waits[declaration.name] = named & self.template.modules.keys()
        scope = body.get("scope")
        template = Template((self.template.path.parent / declaration.subject).resolve())
        if template.root.has_error:
            raise BicepError(f"{template.path.name}: syntax error")
        group = scope.id if isinstance(scope, Resource) else self.group
        if template.scope != "resourceGroup" or "/resourceGroups/" not in group:
            raise BicepError(f"{self.template.path.name}:{declaration.line}: the module wants a resource group")
        inner = Evaluation(template, body.get("params", {}), group, self.deployment, declaration.name)
        return {"name": body["name"], "outputs": inner.run()}

    # -- expressions

    def _items(self, node: Node) -> Sequence[Any]:
        items = self.value(node)
        if not isinstance(items, list):
            raise BicepError(f"{self.template.where(node)}: a loop over {items!r}")
        return items

    def value(self, node: Node | None) -> Any:
        """What an expression is worth.

        Raises:
            BicepError: it is wrong, or of a kind that is not known here.
        """
        if node is None:
            raise BicepError(f"{self.template.path.name}: a value is missing")
        inner = [child for child in node.named_children if child.type != "comment"]
        match node.type:
            case "string":
                return self._string(node)
            case "number":
                return int(_text(node))
            case "boolean":
                return _text(node) == "true"
            case "null":
                return None
            case "identifier":
                return self.symbol(_text(node))
            case "parenthesized_expression":
                return self.value(inner[0])
            case "array":
                return [self.value(child) for child in inner]
            case "object":
                return self._object(inner)
            case "for_statement":
                variable, source, body = _loop(node)
                made = []
                for item in self._items(source):
                    self.locals.append({variable: item})
                    made.append(self.value(body))
                    self.locals.pop()
                return made
            case "ternary_expression":
                branch = "consequence" if self._bool(_field(node, "condition")) else "alternative"
                return self.value(_field(node, branch))
            case "unary_expression" if _text(_field(node, "operator")) == "!":
                return not self._bool(_field(node, "argument"))
            case "binary_expression":
                return self._binary(node)
            case "member_expression":
                return self._member(node)
            case "call_expression":
                return self._call(node)
        raise BicepError(f"{self.template.where(node)}: {node.type} is more than this front end knows")

    def _bool(self, node: Node) -> bool:
        value = self.value(node)
        if not isinstance(value, bool):
            raise BicepError(f"{self.template.where(node)}: a condition that is {value!r}")
        return value

    def _string(self, node: Node) -> str:
        parts = []
        for child in node.named_children:
            if child.type == "escape_sequence":
                parts.append({"n": "\n", "t": "\t", "r": "\r"}.get(_text(child)[1:], _text(child)[1:]))
            elif child.type == "interpolation":
                value = self.value(child.named_children[0])
                if not isinstance(value, str | int):
                    raise BicepError(f"{self.template.where(child)}: {value!r} in a text")
                parts.append(str(value))
            else:
                parts.append(_text(child))
        return "".join(parts)

    def _object(self, properties: Sequence[Node]) -> Tree:
        made: Tree = {}
        for node in properties:
            if node.type != "object_property":
                raise BicepError(f"{self.template.where(node)}: {node.type} is more than this front end knows")
            key, value = node.named_children[0], _value_of(node)
            name = self._string(key) if key.type == "string" else _text(key)
            if name in made:
                raise BicepError(f"{self.template.where(node)}: {name} stands twice")
            made[name] = self.value(value)
        return made

    def _binary(self, node: Node) -> Any:
        operator, left = _text(_field(node, "operator")), _field(node, "left")
        right = _field(node, "right")
        if operator == "&&":
            return self._bool(left) and self._bool(right)
        if operator == "||":
            return self._bool(left) or self._bool(right)
        first, second = self.value(left), self.value(right)
        if operator in ("==", "!="):
            return (first == second) is (operator == "==")
        if type(first) is not int or type(second) is not int:
            raise BicepError(f"{self.template.where(node)}: {first!r} {operator} {second!r}")
        compare: Mapping[str, Callable[[int, int], Any]] = {
            ">": lambda a, b: a > b,
            "<": lambda a, b: a < b,
            ">=": lambda a, b: a >= b,
            "<=": lambda a, b: a <= b,
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
        }
        return compare[operator](first, second)

    def _member(self, node: Node) -> Any:
        path: list[str] = []
        base = node
        while base.type == "member_expression":
            path.insert(0, _text(_field(base, "property")))
            base = _field(base, "object")
        value = self.value(base)
        if isinstance(value, Resource):
            return self._of_resource(value, path, node)
        for part in path:
            if not isinstance(value, Mapping) or part not in value:
                raise BicepError(f"{self.template.where(node)}: {_text(node)} does not exist")
            value = value[part]
        return value

    def _of_resource(self, resource: Resource, path: Sequence[str], node: Node) -> str:
        match list(path):
            case ["id"]:
                return resource.id
            case ["name"]:
                return resource.name
        whole = ".".join(path)
        if whole in _COMPUTED:
            self.deployment.reads.add((f"{resource.type}@{resource.version}", whole))
            return _COMPUTED[whole](resource.name)
        raise BicepError(f"{self.template.where(node)}: {_text(node)} is nothing that Azure is known to set")

    def _call(self, node: Node) -> Any:
        name = _text(_function(node))
        arguments = [self.value(argument) for argument in _field(node, "arguments").named_children]
        if name == "loadTextContent":
            return (self.template.path.parent / arguments[0]).read_text("utf-8")
        if name == "resourceGroup":
            return {"id": self.group, "name": self.group.rpartition("/")[2]}
        if name not in _FUNCTIONS:
            raise BicepError(f"{self.template.where(node)}: {name}() is not known")
        try:
            return _FUNCTIONS[name](*arguments)
        except (TypeError, AttributeError) as error:
            raise BicepError(f"{self.template.where(node)}: {name}(): {error}") from error


def _string_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int):
        raise TypeError(f"string of {value!r}")
    return str(value)


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _role(type_: str, name: str) -> str:
    return f"{SUBSCRIPTION}/providers/{type_}/{name}"


def _unique(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:13]


def _uuid(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "-".join(parts)))


_COMPUTED: Final[Mapping[str, Callable[[str], str]]] = {
    "properties.ConnectionString": lambda name: f"InstrumentationKey={_uuid(name)}",
    "properties.clientId": lambda name: _uuid(name, "client"),
    "properties.customerId": _uuid,
    "properties.defaultHostName": lambda name: f"{name}.azurewebsites.net",
    "properties.principalId": lambda name: _uuid(name, "principal"),
    "properties.primaryEndpoints.blob": lambda name: f"https://{name}.blob.core.windows.net/",
    "properties.vaultUri": lambda name: f"https://{name}.vault.azure.net/",
}
"""What Azure sets, in the form that it has in Azure's public cloud."""

_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "concat": lambda *lists: [item for items in lists for item in items],
    "empty": lambda value: len(value) == 0,
    "guid": _uuid,
    "max": lambda *numbers: max(numbers),
    "replace": _replace,
    "string": _string_of,
    "subscription": lambda: {"id": SUBSCRIPTION, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION.rpartition("/")[2]},
    "subscriptionResourceId": _role,
    "toLower": lambda text: text.lower(),
    "union": lambda *objects: {name: value for part in objects for name, value in part.items()},
    "uniqueString": _unique,
}


def computed(resource: Resource, path: str) -> str:
    """What Azure sets on a resource, as an expression that names it reads it here."""
    return _COMPUTED[path](resource.name)


def deploy(main: Path, params: Tree) -> Deployment:
    """The resources that a template of a subscription would make.

    Raises:
        BicepError: the compiler, or Azure before it deploys anything, would refuse it.
    """
    deployment = Deployment()
    template = Template(main)
    if template.root.has_error:
        raise BicepError(f"{main.name}: syntax error")
    deployment.outputs = Evaluation(template, params, SUBSCRIPTION, deployment, "").run()
    return deployment


def templates(main: Path) -> list[Template]:
    """A template and the modules that it uses."""
    first = Template(main)
    paths = [(main.parent / declaration.subject).resolve() for declaration in first.modules.values()]
    return [first, *(Template(path) for path in paths)]
