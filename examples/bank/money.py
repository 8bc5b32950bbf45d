"""The exception classes of the banks, registered on both sides, so that exceptions arrive with their class."""
from Pyro5.api import register_class_to_dict, register_dict_to_class


class BankError(Exception):
    """The bank has refused an order."""


class NotEnoughMoney(BankError):
    def __init__(self, missing):
        super().__init__("%d are missing" % missing)
        self.missing = missing


class NoSuchAccount(BankError):
    def __init__(self, owner):
        super().__init__("%s has no account here" % owner)
        self.owner = owner


def register(exception_class, attribute):
    """Register the converters for an exception class with a single attribute."""
    name = "bank." + exception_class.__name__
    register_class_to_dict(exception_class, lambda x: {"__class__": name, "value": getattr(x, attribute)})
    register_dict_to_class(name, lambda classname, data: exception_class(data["value"]))


register(NotEnoughMoney, "missing")
register(NoSuchAccount, "owner")
