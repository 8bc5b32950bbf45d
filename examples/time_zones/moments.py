"""Converters for aware datetimes: to text with the offset from UTC, and back."""
import datetime

from Pyro5.api import register_class_to_dict, register_dict_to_class


def moment_to_dict(moment):
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone is ambiguous: %s" % moment)
    return {"__class__": "clock.Moment", "at": moment.isoformat()}


def dict_to_moment(classname, data):
    return datetime.datetime.fromisoformat(data["at"])


def register():
    register_class_to_dict(datetime.datetime, moment_to_dict)
    register_dict_to_class("clock.Moment", dict_to_moment)
