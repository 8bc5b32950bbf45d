"""The model for all phases: prices that rise and fall at random."""
import random

COMPANIES = {"KELP": 1200, "MOSS": 560, "SALT": 8350, "YARN": 75}      # prices in cents


class Market:
    def __init__(self, symbols=tuple(COMPANIES), seed=None):
        self._random = random.Random(seed)
        self.prices = {symbol: COMPANIES[symbol] for symbol in symbols}

    def trade(self):
        """Make a random trade; return (symbol, new price)."""
        symbol = self._random.choice(sorted(self.prices))
        price = self.prices[symbol]
        self.prices[symbol] = max(1, price + self._random.randint(-price // 20, price // 20))
        return symbol, self.prices[symbol]


def text(symbol, price):
    return "%s %d.%02d" % (symbol, price // 100, price % 100)
