"""Searches equipment by its kind, not by its name."""
import argparse

from Pyro5.api import Proxy, locate_ns


def show(question, found):
    print("%s: %s" % (question, ", ".join(sorted(name.rpartition(".")[2] for name in found)) or "nothing"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--building", default="north")
    parser.add_argument("--material", default="birch plywood")
    options = parser.parse_args()
    place = "building:" + options.building
    with locate_ns() as names:
        show("in building %s" % options.building, names.yplookup(meta_all={place}))
        show("printers in building %s" % options.building, names.yplookup(meta_all={place, "equipment:printer"}))
        show("printers or lasers", names.yplookup(meta_any={"equipment:printer", "equipment:laser"}))
        show("ovens", names.yplookup(meta_any={"equipment:oven"}))
        for _, (uri, tags) in sorted(names.list(prefix="example.equipment.", return_metadata=True).items()):
            with Proxy(uri) as thing:
                print(thing.work(), "and has the tags", " ".join(sorted(tag for tag in tags if "class:" not in tag)))
    # any object with all of these tags; the proxy asks the name server
    with Proxy("PYROMETA:equipment:laser," + place) as laser:
        print(laser.cut(options.material))


if __name__ == "__main__":
    main()
