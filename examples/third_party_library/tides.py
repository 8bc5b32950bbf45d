"""A stand-in for another library: it does not use Pyro, and cannot be changed."""
import math


class Moment:
    def __init__(self, hour, centimetres):
        self.hour = hour
        self.centimetres = centimetres


class TideTable:
    def __init__(self, harbour="Sletten"):
        self.harbour = harbour

    def height(self, hour):
        return round(150 + 120 * math.cos(2 * math.pi * hour / 12.42))

    def highest(self, hours):
        return max((Moment(hour, self.height(hour)) for hour in hours), key=lambda moment: moment.centimetres)

    def erase_everything(self):
        raise SystemError("this was not meant for visitors")
