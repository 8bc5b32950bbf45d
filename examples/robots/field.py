"""The rules of the game: the field, the rovers, and rounds in which all rovers move at the same time."""
import random
import threading

from Pyro5.api import expose

DIRECTIONS = {"north": (0, -1), "south": (0, 1), "west": (-1, 0), "east": (1, 0)}


class Rover:
    """A rover. It stays in the arena; its driver gets a proxy."""

    def __init__(self, arena, name, place):
        self.arena, self.name, self.place, self.crystals = arena, name, place, 0
        self.step = (0, 0)

    @expose
    def look(self):
        """Return the way to the nearest crystal as steps east and south; None if there are no more."""
        x, y = self.place
        ways = [(cx - x, cy - y) for cx, cy in self.arena.crystals]
        return min(ways, key=lambda way: (abs(way[0]) + abs(way[1]), way), default=None)

    @expose
    def drive(self, direction):
        """Set the next step, and wait until all rovers have one. Return the number of crystals so far."""
        self.step = DIRECTIONS[direction]
        self.arena.everybody.wait(60)
        return self.crystals


class Arena:
    def __init__(self, size, crystals, rovers, seed):
        source = random.Random(seed)
        places = source.sample([(x, y) for x in range(size) for y in range(size)], crystals + rovers)
        self._size, self.crystals, self._starts = size, set(places[:crystals]), places[crystals:]
        self.everybody = threading.Barrier(rovers, action=self._next_round)
        self._lock, self._rovers = threading.Lock(), []

    @expose
    def land(self, name):
        if type(name) is not str or not name:
            raise TypeError("the name of a rover must be text")
        with self._lock:
            if not self._starts:
                raise RuntimeError("there is no room for another rover")
            rover = Rover(self, name, self._starts.pop())
            self._rovers.append(rover)
        self._pyroDaemon.register(rover)
        self.everybody.wait(60)         # until all have landed
        return rover

    def _next_round(self):
        """Move all rovers. One of the threads runs this while all others wait, so no lock is needed."""
        for rover in self._rovers:
            rover.place = tuple(min(max(at + by, 0), self._size - 1) for at, by in zip(rover.place, rover.step))
            if rover.place in self.crystals:
                self.crystals.remove(rover.place)
                rover.crystals += 1
        print(self._map(), flush=True)
        if not self.crystals:
            print("Result:", ", ".join(sorted("%s %d" % (rover.name, rover.crystals) for rover in self._rovers)), flush=True)

    def _map(self):
        marks = dict.fromkeys(self.crystals, "*")
        marks.update({rover.place: rover.name[0].upper() for rover in self._rovers})
        return "\n".join("".join(marks.get((x, y), ".") for x in range(self._size)) for y in range(self._size)) + "\n"
