"""A window with a dial that other programs can turn: a daemon in the event loop of tkinter."""
import argparse
import tkinter

from Pyro5.api import Daemon, config, expose


class Dial:
    """The remote object. All its methods run in the thread of tkinter."""

    def __init__(self, window):
        self._window = window
        self._text = tkinter.StringVar(window, "waiting")
        tkinter.Label(window, textvariable=self._text, font=("sans", 32), padx=40, pady=40).pack()

    @expose
    def show(self, text):
        self._text.set(text)
        self._window.update_idletasks()         # redraw now
        return self._window.winfo_width()

    @expose
    def close(self):
        self._window.after(100, self._window.quit)      # after the reply is sent


def serve(window, daemon, milliseconds):
    """Make the daemon handle its sockets without waiting, and schedule the next call."""
    daemon.events(daemon.sockets)
    window.after(milliseconds, serve, window, daemon, milliseconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--interval", type=int, default=20, help="milliseconds between two calls of the daemon")
    options = parser.parse_args()
    config.SERVERTYPE = "multiplex"             # calls run in the thread that calls daemon.events()
    try:
        window = tkinter.Tk()
    except tkinter.TclError as x:
        raise SystemExit("there is no screen: %s" % x) from x
    window.title("Dial")
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Dial(window), "dial"), flush=True)
        serve(window, daemon, options.interval)
        try:
            window.mainloop()
        except KeyboardInterrupt:
            print("Interrupted.")
        print("The window is closed.")


if __name__ == "__main__":
    main()
