"""The classes that server and client share, and the functions that convert them to dicts and back."""
import dataclasses
import enum

from Pyro5.api import register_class_to_dict, register_dict_to_class


class Rock(enum.Enum):
    BASALT = "basalt"
    GRANITE = "granite"


@dataclasses.dataclass
class Sample:
    label: str
    rock: Rock
    grams: float


class Contaminated(Exception):
    """A sample is not clean. The attribute ``substance`` is sent as well as the text."""

    def __init__(self, label, substance):
        super().__init__("%s is contaminated with %s" % (label, substance))
        self.label = label
        self.substance = substance


def sample_from_dict(classname, data):
    # the data can come from any client: check it, and build only the expected class
    return Sample(str(data["label"]), Rock(data["rock"]), float(data["grams"]))


# A dict of plain values; convert nested objects here, and build them again in the function above.
register_class_to_dict(Sample, lambda sample: {"__class__": "geo.Sample", "label": sample.label,
                                               "rock": sample.rock.value, "grams": sample.grams})
register_dict_to_class("geo.Sample", sample_from_dict)

register_class_to_dict(Rock, lambda rock: {"__class__": "geo.Rock", "value": rock.value})
register_dict_to_class("geo.Rock", lambda classname, data: Rock(data["value"]))

register_class_to_dict(Contaminated, lambda x: {"__class__": "geo.Contaminated", "label": x.label, "by": x.substance})
register_dict_to_class("geo.Contaminated", lambda classname, data: Contaminated(str(data["label"]), str(data["by"])))
