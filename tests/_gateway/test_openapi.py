"""What a gateway says about the members of objects, and the OpenAPI document that it makes of that."""
from __future__ import annotations

import importlib
import importlib.util
import json
import unittest
from typing import Any, Dict, Iterator, List, Optional, Tuple
from unittest import mock

from Pyro5._daemon.daemon_object import DaemonObject
from Pyro5._gateway import openapi
from Pyro5._gateway.schemas import BYTES, schema_of
from Pyro5._objects.exposure import expose, oneway
from Pyro5.server import Daemon

from ..gateways import Client, Site
from ..peers import free_port
from ..support import PATIENCE_SECONDS, daemon_thread


@expose
class Oven:
    """Heats food."""

    def heat(self, degrees: int, mode: Optional[str] = "top", *, slowly: bool = False) -> Dict[str, List[float]]:
        """Heat it.

        Args:
            degrees: the temperature
                in Celsius.
            mode, slowly: how.
        """
        return {"heat": [degrees]}

    def mix(self, *parts: str, **amounts: float) -> Any:
        return [parts, amounts]

    @staticmethod
    def smell() -> Iterator[int]:
        yield 1

    @oneway
    def forget(self, order: Tuple[int, str]) -> None:
        """Drop an order."""

    @expose(roles={"operator"})
    def ignite(self) -> None:
        """Needs a role."""

    @property
    def colour(self) -> str:
        """What it looks like."""
        return "red"

    @property
    def door(self) -> bool:
        return True

    @door.setter
    def door(self, value: bool) -> None:
        pass


class DescriptionTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        patience = mock.patch.object(openapi, "READ_SECONDS", PATIENCE_SECONDS)     # the machine may be busy
        patience.start()
        cls.addClassCleanup(patience.stop)
        cls.site = Site({"http.oven": Oven(), "http.{odd} name/2": Oven(), "hidden.oven": Oven()})
        cls.addClassCleanup(cls.site.__exit__)
        cls.site.names.register("http.dead", "PYRO:dead@127.0.0.1:%d" % free_port())
        cls.client = cls.site.gateway()[1]

    site: Site
    client: Client

    def read(self, query: str = "") -> Any:
        answer = self.client.get("/pyro/$openapi" + query)
        self.assertEqual(200, answer.status)
        return answer.value


class Descriptions(DescriptionTestCase):
    def test_of_members(self) -> None:
        about = self.client.get("/pyro/$objects?name=http.oven").value["description"]
        methods = {each["name"]: each for each in about["methods"]}
        heat = methods["heat"]
        self.assertEqual(("Heats food.", "Dict[str, List[float]]", True), (about["doc"], heat["returns"], heat["allowed"]))
        self.assertEqual([
            {"name": "degrees", "kind": "any", "type": "int", "schema": {"type": "integer"}, "required": True,
             "doc": "the temperature in Celsius."},
            {"name": "mode", "kind": "any", "type": "Optional[str]", "default": "top", "default_text": "'top'",
             "schema": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "required": False, "doc": "how."},
            {"name": "slowly", "kind": "keyword", "type": "bool", "default": False, "default_text": "False",
             "schema": {"type": "boolean"}, "required": False, "doc": "how."}], heat["parameters"])
        self.assertEqual(["args", "kwargs"], [each["kind"] for each in methods["mix"]["parameters"]])
        self.assertEqual((True, False), (methods["forget"]["oneway"], methods["ignite"]["allowed"]))
        self.assertEqual([("colour", "What it looks like.", False), ("door", None, True)],
                         [(each["name"], each["doc"], each["writable"]) for each in about["attributes"]])

    def test_positional_arguments_beside_keywords(self) -> None:
        answer = self.client.post("/pyro/http.oven/mix", {"$args": ["a", "b"], "salt": 1})
        self.assertEqual([["a", "b"], {"salt": 1}], answer.value)
        self.assertEqual(400, self.client.post("/pyro/http.oven/mix", {"$args": 1}).status)

    def test_of_an_object_of_another_release(self) -> None:
        class OldDaemonObject(DaemonObject):
            @expose
            def get_metadata(self, objectId: str) -> Any:  # type: ignore[override]
                return super().get_metadata(objectId)

        with daemon_thread(Daemon("127.0.0.1", 0, interface=OldDaemonObject)) as daemon:
            self.site.names.register("http.old", daemon.register(Oven()))
            self.addCleanup(self.site.names.remove, "http.old")
            about = self.client.get("/pyro/$objects?name=http.old").value["description"]
            mix, = [each for each in about["methods"] if each["name"] == "mix"]
            self.assertEqual((None, None, None, True), (about["doc"], mix["parameters"], mix["signature"], mix["allowed"]))
            path = self.read("?name=http.old")["paths"]["/http.old/mix"]["post"]
            self.assertEqual({"type": ["object", "array"]}, path["requestBody"]["content"]["application/json"]["schema"])

    def test_a_member_that_the_gateway_may_not_use(self) -> None:
        self.assertEqual(403, self.client.post("/pyro/http.oven/ignite", []).status)


class Schemas(unittest.TestCase):
    def test_of_annotations(self) -> None:
        for text, expected in (
                ("int", {"type": "integer"}), ("bytes", BYTES),
                ("typing.List[str]", {"type": "array", "items": {"type": "string"}}),
                ("int | None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}), ("Union[int, int]", {"type": "integer"}),
                ("Literal['a', 1]", {"enum": ["a", 1]}), ("Literal[b'a']", {}), ("'int'", {"type": "integer"}),
                ("Tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}), ("dict", {"type": "object"}),
                ("Tuple[int]", {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1, "maxItems": 1}),
                ("Mapping[str, bool]", {"type": "object", "additionalProperties": {"type": "boolean"}}),
                ("Optional[Oven]", {}), ("Annotated[int, 5]", {"type": "integer"}), ("x(", {}), ("lambda: 1", {}),
                ("List[" * 60 + "int" + "]" * 60, None), ("int" * 1000, {}), ("List[()]", None)):
            with self.subTest(text[:40]):
                found = schema_of(text)
                json.dumps(found)
                if expected is not None:
                    self.assertEqual(expected, found)


class Documents(DescriptionTestCase):
    def test_all_objects(self) -> None:
        found = self.read()
        self.assertEqual("3.1.0", found["openapi"])
        self.assertIn("http.dead", found["info"]["description"])
        paths = found["paths"]
        self.assertIn("/http.%7Bodd%7D%20name/2/heat", paths)
        self.assertFalse([path for path in paths if "hidden" in path or "dead/" in path])
        self.assertEqual((["get"], ["get", "put"]), (sorted(paths["/http.oven/colour"]), sorted(paths["/http.oven/door"])))
        heat = paths["/http.oven/heat"]["post"]
        by_name, by_position = heat["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
        self.assertEqual((["degrees"], False, 1, 2), (by_name["required"], by_name["additionalProperties"],
                                                      by_position["minItems"], by_position["maxItems"]))
        self.assertIn("text/event-stream", paths["/http.oven/smell"]["post"]["responses"]["200"]["content"])
        self.assertNotIn("security", found)

    def test_is_consistent(self) -> None:
        found = self.read()
        ids = [operation["operationId"] for path in found["paths"].values() for operation in path.values()]
        self.assertEqual(len(set(ids)), len(ids))
        text = json.dumps(found)
        for part in text.split('"$ref": "#/')[1:]:
            value = found
            for key in part.partition('"')[0].split("/"):
                value = value[key]
        for server in found["servers"]:
            self.assertEqual(200, self.client.get(server["url"] + "/http.oven/smell").status)

    def test_one_object(self) -> None:
        paths = self.read("?name=http.oven")["paths"]
        self.assertIn("/http.oven/heat", paths)
        self.assertFalse([path for path in paths if "odd" in path])
        self.assertFalse([path for path in self.read("?name=hidden.oven")["paths"] if "oven" in path])

    def test_a_key(self) -> None:
        client = self.site.gateway(gatewaykey="sesame")[1]
        self.assertEqual(403, client.get("/pyro/$openapi").status)
        found = client.get("/pyro/$openapi", X_Pyro_Gateway_Key="sesame").value
        self.assertEqual("X-Pyro-Gateway-Key", found["components"]["securitySchemes"]["key"]["name"])

    @unittest.skipUnless(importlib.util.find_spec("openapi_spec_validator"), "openapi-spec-validator is not installed")
    def test_is_valid(self) -> None:
        validate = importlib.import_module("openapi_spec_validator").validate
        validate(self.read())
        validate(self.site.gateway(gatewaykey="sesame")[1].get("/pyro/$openapi", X_Pyro_Gateway_Key="sesame").value)

    def test_more_objects_than_fit(self) -> None:
        names = ["n%d" % number for number in range(openapi.OBJECTS + 1)]
        found, missing = openapi.read_all(names, lambda name: {"doc": None, "methods": [], "attributes": []})
        self.assertEqual((openapi.OBJECTS, names[-1:]), (len(found), list(missing)))


if __name__ == "__main__":
    unittest.main()
