import json

from scripts.google_provider_schema import Bindings, beta_types, resource_types, written
from tests.deploy.gcp import INFRA
from tests.deploy.terraform_provider import SCHEMA

# Invented, in the form of the published bindings.
SOURCE = """
class Jar(
    _cdktn.TerraformResource,
    jsii_type="x",
):
    def __init__(
        self,
        scope: "_constructs.Construct",
        id_: builtins.str,
        *,
        name: builtins.str,
        lid: typing.Union["JarLid", typing.Dict[builtins.str, typing.Any]],
        beans: typing.Optional[
            typing.Union["_cdktn.IResolvable", typing.Sequence[typing.Union["JarBeans", typing.Dict[str, typing.Any]]]]
        ] = None,
        closed: typing.Optional[typing.Union[builtins.bool, "_cdktn.IResolvable"]] = None,
        labels: typing.Optional[typing.Mapping[builtins.str, builtins.str]] = None,
        sizes: typing.Optional[typing.Sequence[jsii.Number]] = None,
        depends_on: typing.Optional[typing.Sequence["_cdktn.ITerraformDependable"]] = None,
    ) -> None:
        pass

    @builtins.property
    @jsii.member(jsii_name="url")
    def url(self) -> builtins.str:
        pass

    @builtins.property
    @jsii.member(jsii_name="nameInput")
    def name_input(self) -> typing.Optional[builtins.str]:
        pass

class JarLid:
    def __init__(self, *, colour: builtins.str) -> None:
        pass

class JarLidOutputReference(_cdktn.ComplexObject):
    @builtins.property
    @jsii.member(jsii_name="weight")
    def weight(self) -> jsii.Number:
        pass

class JarBeans:
    def __init__(self, *, count: typing.Optional[jsii.Number] = None, kind: builtins.str) -> None:
        pass
"""


def test_a_resource_is_read_out_of_its_bindings() -> None:
    """Attributes with types, what is required, nested blocks, and what can only be read."""
    tree = Bindings(SOURCE).resource()
    assert tree["attributes"] == {
        "name": {"type": "string", "required": True},
        "closed": {"type": "bool", "required": False},
        "labels": {"type": ["map", "string"], "required": False},
        "sizes": {"type": ["list", "number"], "required": False},
        "url": {"type": "string", "required": False, "computed": True},
    }
    assert tree["blocks"] == {
        "lid": {
            "required": True,
            "many": False,
            "attributes": {
                "colour": {"type": "string", "required": True},
                "weight": {"type": "number", "required": False, "computed": True},
            },
            "blocks": {},
        },
        "beans": {
            "required": False,
            "many": True,
            "attributes": {"kind": {"type": "string", "required": True}},
            "blocks": {},
        },
    }


def test_the_file_holds_what_the_templates_use() -> None:
    """Every resource type of infra/gcp, and none besides."""
    content = json.loads(SCHEMA.read_text("utf-8"))
    assert sorted(content["resources"]) == resource_types(INFRA)
    assert SCHEMA.read_text("utf-8") == written(content)


def test_what_comes_from_the_beta_provider_is_known() -> None:
    """Its resources stand in another package of bindings; one says of itself that it is of the beta provider."""
    assert beta_types(INFRA) == {"google_project_service_identity"}
