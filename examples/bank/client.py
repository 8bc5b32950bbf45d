"""A customer of all banks, who tries to transfer more than the balance."""
import argparse

from money import BankError, NoSuchAccount, NotEnoughMoney

from Pyro5.api import Proxy, locate_ns


def pay_as_much_as_possible(bank, giver, taker, amount):
    try:
        bank.transfer(giver, taker, amount)
    except NotEnoughMoney as x:             # the exception has its attribute, not only its text
        print("    %d are missing, so it is %d" % (x.missing, amount - x.missing))
        bank.transfer(giver, taker, amount - x.missing)
    print("    %s has %d, %s has %d" % (giver, bank.balance(giver), taker, bank.balance(taker)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amounts", type=int, nargs="+", default=[60, 70])
    options = parser.parse_args()
    with locate_ns() as names:
        uris = [uri for _, uri in sorted(names.yplookup(meta_all={"example:bank"}, return_metadata=False).items())]
    for uri in uris:
        with Proxy(uri) as bank:
            print(bank.name)
            bank.open_account("Lea", 100)
            bank.open_account("Sam")
            for amount in options.amounts:
                pay_as_much_as_possible(bank, "Lea", "Sam", amount)
            for order in (("Lea", "Zoe", 5), ("Sam", "Lea", -5)):
                try:
                    bank.transfer(*order)
                except NoSuchAccount as x:
                    print("    no account:", x.owner)
                except (BankError, ValueError) as x:
                    print("    refused:", x)


if __name__ == "__main__":
    main()
