"""A simulated camera: a bright spot that moves over a dark picture."""
import argparse
import time

from Pyro5.api import Daemon, config, expose


class Picture:
    """A grey picture, whose memory is used again for each frame."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.pixels = bytearray(width * height)
        self.spot = None

    def draw(self, number):
        """Draw the frame with this number: only the spot changes."""
        size = min(self.width, self.height) // 4
        if self.spot is not None:
            self.fill(self.spot, size, 0)
        self.spot = number * 7 % (self.width - size), number * 3 % (self.height - size)
        self.fill(self.spot, size, 255)

    def fill(self, corner, size, brightness):
        row = bytes([brightness]) * size
        for y in range(corner[1], corner[1] + size):
            start = y * self.width + corner[0]
            self.pixels[start:start + size] = row


@expose
class Camera:
    def __init__(self, width, height):
        self.width, self.height = width, height

    @property
    def resolution(self):
        return self.width, self.height

    def frames(self, fastest=0.0):
        """Yield frames without end. A frame is drawn when a viewer asks for it, so a slow viewer gets fewer of them.

        Args:
            fastest: frames per second at most; 0: as many as the viewer can get.
        """
        picture, began, number = Picture(self.width, self.height), time.monotonic(), 0
        try:
            while True:
                picture.draw(number)
                yield picture.pixels
                number += 1
                if fastest:
                    now = time.monotonic() - began
                    time.sleep(max(0.0, number / fastest - now))
                    number = max(number, int(now * fastest))    # late frames are left out
        finally:
            print("the viewer has left", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    options = parser.parse_args()
    config.THREADPOOL_SIZE = 8
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Camera(options.width, options.height), "camera"), flush=True)
        daemon.requestLoop()
        print("The camera is off.")


if __name__ == "__main__":
    main()
