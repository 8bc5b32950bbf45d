"""A live view of the camera: prints where the bright spot is, and how many frames arrive in a second."""
import argparse
import time

from Pyro5.api import Proxy

HEIGHT_OF_VIEW = 8  # lines


def view(frame, width, height):
    """Return the frame as lines of text: one character for each cell."""
    cell = height // HEIGHT_OF_VIEW
    return ["".join("#" if frame[y * width + x] else "." for x in range(0, width, 2 * cell))
            for y in range(0, cell * HEIGHT_OF_VIEW, cell)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:camera@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--frames", type=int, default=0, help="frames to show; 0: until Ctrl-C")
    parser.add_argument("--fastest", type=float, default=0.0, help="frames per second at most; 0: as many as possible")
    options = parser.parse_args()
    # bytes arrive as bytes with this serializer, from every release
    with Proxy(options.uri, serializer="marshal") as camera:
        width, height = camera.resolution
        shown, began, size = 0, time.monotonic(), width * height
        try:
            for frame in camera.frames(options.fastest):
                shown += 1
                seconds = time.monotonic() - began
                if shown in (1, options.frames) or seconds >= 1 and not options.frames:
                    print("\n".join(view(frame, width, height)))
                    print("%dx%d: %.0f frames per second, %.1f MB/s" % (
                        width, height, shown / seconds, shown * size / seconds / 1e6), flush=True)
                if seconds >= 1 and not options.frames:
                    shown, began = 0, time.monotonic()
                if shown == options.frames and options.frames:
                    break   # leaving the loop closes the stream in the server
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
