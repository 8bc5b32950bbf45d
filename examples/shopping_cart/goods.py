"""The shelves, which all customers share, and the carts, one for each customer."""
import threading

from Pyro5.api import expose


class Shelves:
    def __init__(self, stock):
        self._lock = threading.Lock()
        self._pieces = {article: pieces for article, (pieces, _) in stock.items()}
        self.prices = {article: price for article, (_, price) in stock.items()}

    def move(self, article, pieces):
        """Move pieces from the shelf to the cart, or back if the number is negative."""
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
    """The cart of one customer; goods in it are not on the shelves."""

    def __init__(self, shelves, customer):
        self._shelves, self._customer, self._items = shelves, customer, {}

    @expose
    def put(self, article, pieces=1):
        if type(article) is not str or type(pieces) is not int or pieces < 1:
            raise TypeError("expected an article and a number of pieces")
        self._shelves.move(article, pieces)
        self._items[article] = self._items.get(article, 0) + pieces

    @expose
    def take_out(self, article, pieces=1):
        if type(pieces) is not int or pieces < 1:
            raise TypeError("the number of pieces must be an integer")
        if self._items.get(article, 0) < pieces:
            raise ValueError("the cart does not contain that many")
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
        """Put back the goods that were not paid; called when the customer disconnects."""
        for article, pieces in self._items.items():
            self._shelves.move(article, -pieces)
        # including the line end, because threads may print at the same time
        print("%s leaves, not paid: %d\n" % (self._customer, sum(self._items.values())), end="", flush=True)
        self._pyroDaemon.unregister(self)
