"""What a type checker has to accept, and what it has to refuse: the lines with a comment ``# refused: code``.

tests/test_typed.py has mypy read it. It also runs it, for what is accepted has to work; what is refused stands in a function
that is never called.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Dict, Iterator, List, Protocol

import Pyro5.api
from Pyro5.api import Daemon, Proxy, behavior, callback, expose, oneway
from Pyro5.typed import ProxyMembers


class Garden(Protocol):
    def sow(self, bed: str, count: int = 1) -> int: ...

    def days(self) -> Iterator[str]: ...

    def water(self) -> None: ...

    @property
    def motto(self) -> str: ...


class GardenProxy(Garden, ProxyMembers, Protocol): ...


class Bed:
    def __init__(self, name: str) -> None:
        self.name = name


@behavior(instance_mode="single", instance_creator=lambda clazz: clazz("slow and green"))
@expose
class KitchenGarden:
    def __init__(self, motto: str) -> None:
        self._beds: Dict[str, int] = {}
        self._motto = motto
        self._dry = True

    def sow(self, bed: str, count: int = 1) -> int:
        self._beds[bed] = self._beds.get(bed, 0) + count
        return self._beds[bed]

    def days(self) -> Iterator[str]:
        yield from ("monday", "tuesday")

    @oneway
    def water(self) -> None:
        self._dry = False

    @property
    @expose
    def motto(self) -> str:
        return self._motto

    @callback
    def grown(self, bed: str) -> bool:
        return bed in self._beds


class Abstract(ABC):
    @abstractmethod
    def sow(self, bed: str, count: int = 1) -> int: ...


class Tool(Proxy, ABC):
    """A proxy class with more in it."""

    def __init__(self, uri: str, label: str) -> None:
        super().__init__(uri)
        self._pyroLabel = label


def bed_to_dict(bed: Bed) -> Dict[str, Any]:
    return {"__class__": "garden.Bed", "name": bed.name}


def dict_to_bed(class_name: str, data: Dict[str, Any]) -> Bed:
    return Bed(str(data["name"]))


def keep(garden: Garden) -> List[str]:
    return list(garden.days())


def accepted(daemon: Daemon) -> List[object]:
    """Use what there is as it is meant."""
    uri = daemon.register(KitchenGarden)
    Pyro5.api.register_class_to_dict(Bed, bed_to_dict)
    Pyro5.api.register_dict_to_class("garden.Bed", dict_to_bed)
    Pyro5.api.unregister_class_to_dict(Bed)
    Pyro5.api.unregister_dict_to_class("garden.Bed")
    found: List[object] = []
    with Proxy[GardenProxy](uri) as garden:
        garden._pyroTimeout = 20.0
        garden.water()
        count: int = garden.sow("leek", count=2)
        motto: str = garden.motto
        found += [count, motto.upper(), keep(garden), garden._pyroMethods & {"sow"}]
    with Proxy(uri) as anything:
        found.append(anything.sow("kale"))          # without an interface everything is Any
        anything._pyroRelease()
    by_class = Proxy[KitchenGarden](uri)
    by_abstract_class = Proxy[Abstract](uri)
    total: int = by_class.sow("leek") + by_abstract_class.sow("leek")
    found += [total, type(by_class).__name__]
    tool = Tool[GardenProxy](str(uri), "rake")
    found.append(tool.sow("leek"))
    for proxy in (by_class, by_abstract_class, tool):
        assert isinstance(proxy, Proxy)
        proxy._pyroRelease()
    return found


def refused(daemon: Daemon) -> None:
    """Do what a type checker has to find."""
    garden = Proxy[GardenProxy]("PYRO:garden@localhost:9200")
    garden.sew("leek")                              # refused: attr-defined
    garden.sow(5)                                   # refused: arg-type
    garden.sow()                                    # refused: call-arg
    garden.sow("leek", number=2)                    # refused: call-arg
    text: str = garden.sow("leek")                  # refused: assignment
    garden.motto = text                             # refused: misc
    garden._pyroTimeout = "long"                    # refused: assignment
    garden._pyroTimout = 2.0                        # refused: attr-defined
    with Proxy[Garden]("PYRO:garden@localhost:9200"):   # refused: attr-defined, attr-defined
        print(text)
    Proxy[Garden](9200)                             # refused: arg-type
    Proxy(9200)                                     # refused: arg-type
    Tool[Garden]("PYRO:garden@localhost:9200")      # refused: call-arg
    Proxy("PYRO:garden@localhost:9200")._pyroMaxRetries = "often"   # refused: assignment
    garden_of_others: Garden = Bed("leek")          # refused: assignment
    keep(Bed("leek"))                               # refused: arg-type
    behavior(instance_mode="sometimes")             # refused: arg-type
    KitchenGarden("green").grown()                  # refused: call-arg
    KitchenGarden("green").water(1)                 # refused: call-arg
    KitchenGarden()                                 # refused: call-arg
    daemon.register(KitchenGarden, 5)               # refused: arg-type
    Pyro5.api.register_dict_to_class(Bed, dict_to_bed)  # refused: arg-type
    Pyro5.api.register_class_to_dict("garden.Bed", bed_to_dict)     # refused: arg-type
    Pyro5.api.locate_ns(port="9090")                # refused: arg-type
    print(garden_of_others)

    @behavior                                       # refused: arg-type
    class WithoutParentheses:
        pass
