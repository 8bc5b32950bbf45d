"""A bank with accounts, which refuses orders with its own exceptions."""
import argparse
import threading

from money import NoSuchAccount, NotEnoughMoney

from Pyro5.api import Daemon, expose, locate_ns


@expose
class Bank:
    def __init__(self, name):
        self._name = name
        self._accounts = {}
        self._lock = threading.Lock()

    @property
    def name(self):
        return self._name

    def open_account(self, owner, amount=0):
        if type(owner) is not str or type(amount) is not int:
            raise TypeError("expected the name of the owner and an amount")
        with self._lock:
            self._accounts.setdefault(owner, 0)
            self._accounts[owner] += amount

    def balance(self, owner):
        with self._lock:
            if owner not in self._accounts:
                raise NoSuchAccount(owner)
            return self._accounts[owner]

    def transfer(self, giver, taker, amount):
        if type(amount) is not int or amount <= 0:
            raise ValueError("an amount must be a positive integer, not %r" % (amount,))
        with self._lock:            # the lock makes the transfer atomic
            for owner in (giver, taker):
                if owner not in self._accounts:
                    raise NoSuchAccount(owner)
            if self._accounts[giver] < amount:
                raise NotEnoughMoney(amount - self._accounts[giver])
            self._accounts[giver] -= amount
            self._accounts[taker] += amount


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="Dune Bank")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    name = "example.bank." + options.name.lower().replace(" ", "-")
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(Bank(options.name))
        names.register(name, uri, metadata={"example:bank"})
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(name)
        print("The bank is closed.")


if __name__ == "__main__":
    main()
