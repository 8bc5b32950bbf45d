"""Serves one object, under a name that the name server knows."""
import Pyro5.api


@Pyro5.api.expose
class Greeter:
    def __init__(self):
        self.greeted = 0

    def greet(self, name):
        self.greeted += 1
        return "Hello %s, you are visitor number %d." % (name, self.greeted)


with Pyro5.api.Daemon() as daemon, Pyro5.api.locate_ns() as name_server:
    uri = daemon.register(Greeter())
    name_server.register("example.greeting", uri)
    print("Ready:", uri, flush=True)
    try:
        daemon.requestLoop()
    except KeyboardInterrupt:       # Ctrl-C
        name_server.remove("example.greeting")
        print("Stopped.")
