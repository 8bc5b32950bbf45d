"""A laboratory that receives and returns samples of rock as objects of the shared classes."""
import argparse
import dataclasses

from samples import Contaminated, Rock, Sample

from Pyro5.api import Daemon, expose


@expose
class Laboratory:
    def found_in(self, rock):
        return {Rock.BASALT: ["Iceland", "Deccan"], Rock.GRANITE: ["Bretagne"]}[rock]

    def weigh(self, sample):
        if not isinstance(sample, Sample):
            raise TypeError("not a sample, but a %s" % type(sample).__name__)
        if sample.rock is Rock.GRANITE and sample.grams > 100:
            raise Contaminated(sample.label, "moss")
        return dataclasses.replace(sample, grams=sample.grams * 0.98)      # the sample was wet


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Laboratory(), "laboratory"), flush=True)
        daemon.requestLoop()
        print("Lights off.")


if __name__ == "__main__":
    main()
