"""A robot that carries crates. It works the same with a warehouse object and with a proxy."""


def do_a_round(warehouse, name, crates):
    for crate in crates:
        warehouse.store(name, crate)
    print("%s has stored %s" % (name, ", ".join(crates)))
    warehouse.fetch(name, crates[0])
    try:
        warehouse.fetch(name, crates[0])
    except LookupError as x:
        print("%s: %s" % (name, x))
    print("%s sees: %s" % (name, ", ".join("%s %s" % item for item in sorted(warehouse.inventory().items()))))
