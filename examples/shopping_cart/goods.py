"""The shelves, which all customers share, and the carts, of which each has one."""
import threading

from Pyro5.api import expose


class Shelves:
    def __init__(self, stock):
        self._lock = threading.Lock()
        self._pieces = {article: pieces for article, (pieces, _) in stock.items()}
        self.prices = {article: price for article, (_, price) in stock.items()}

    def move(self, article, pieces):
        """Take some pieces, or put them back if the number is negative."""
        with self._lock:
            if article not in self._pieces:
                raise KeyError(article)
            if self._pieces[article] < pieces:
                raise ValueError("only %d of %s left" % (self._pieces[article], article))
            self._pieces[article] -= pieces

    def pieces(self):
        with self._lock:
            return dict(self._pieces)


class Cart:
    """Belongs to one customer; what is in it is off the shelves."""

    def __init__(self, shelves, customer):
        self._shelves, self._customer, self._items = shelves, customer, {}

    @expose
    def put(self, article, pieces=1):
        if type(article) is not str or type(pieces) is not int or pieces < 1:
            raise TypeError("a number of pieces of an article goes into the cart")
        self._shelves.move(article, pieces)
        self._items[article] = self._items.get(article, 0) + pieces

    @expose
    def take_out(self, article, pieces=1):
        if type(pieces) is not int or pieces < 1:
            raise TypeError("a number of pieces is taken out")
        if self._items.get(article, 0) < pieces:
            raise ValueError("there are not so many in the cart")
        self._shelves.move(article, -pieces)
        self._items[article] -= pieces

    @expose
    def __len__(self):
        return sum(self._items.values())

    @expose
    def pay(self):
        total = sum(self._shelves.prices[article] * pieces for article, pieces in self._items.items())
        self._items.clear()
        return "%s pays %d.%02d" % (self._customer, total // 100, total % 100)

    def close(self):
        """The customer is gone; what was not paid goes back."""
        for article, pieces in self._items.items():
            self._shelves.move(article, -pieces)
        # with the line end in the same text, as threads may print at the same time
        print("%s leaves, not paid: %d\n" % (self._customer, sum(self._items.values())), end="", flush=True)
        self._pyroDaemon.unregister(self)
