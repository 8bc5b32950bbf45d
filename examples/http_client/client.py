"""Calls the greenhouse over HTTP. It uses only the standard library: Pyro does not have to be installed."""
import argparse
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid


class Refused(Exception):
    """An exception of the remote method: the name of its class, then its arguments."""


class Gateway:
    def __init__(self, url, key=""):
        self._url = url.rstrip("/") + "/pyro/"
        self._headers = {"X-Pyro-Gateway-Key": key} if key else {}

    def get(self, name, member, **parameters):
        """Read an attribute, or call a method with parameters, which arrive as strings."""
        query = urllib.parse.urlencode(parameters)
        return self._send(name + "/" + member + ("?" + query if query else ""), None, {})

    def call(self, name, method, *args, **headers):
        """Call a method; the arguments keep their types."""
        headers = {key.replace("_", "-"): text for key, text in headers.items()}
        return self._send(name + "/" + method, json.dumps(args).encode(), {"Content-Type": "application/json", **headers})

    def _send(self, target, body, headers):
        request = urllib.request.Request(self._url + target, body, {**self._headers, **headers})
        try:
            with urllib.request.urlopen(request) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as x:
            with x:
                text = x.read().decode()
                if not x.headers["Content-Type"].startswith("application/json"):
                    raise Refused("%d: %s" % (x.code, text)) from None
                error = json.loads(text)
                raise Refused(error["__class__"], *error["args"]) from None
        return json.loads(text) if text else None   # a oneway call has no result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="http://localhost:8080")
    parser.add_argument("--key", default="", help="if the gateway asks for one")
    parser.add_argument("--litres", type=float, default=2.5)
    options = parser.parse_args()
    gateway = Gateway(options.gateway, options.key)

    print("methods:", ", ".join(gateway.get("http.greenhouse", "$meta")["methods"]))
    print("the roof is", gateway.get("http.greenhouse", "roof"))
    for bed in sorted(gateway.get("http.greenhouse", "beds")):
        print("%s: %.1f litres" % (bed, gateway.call("http.greenhouse", "water", bed, options.litres)))

    # a oneway call; the server prints the correlation id
    gateway.call("http.greenhouse", "move_roof", "open", X_Pyro_Options="oneway", X_Pyro_Correlation_Id=str(uuid.uuid4()))

    for what, attempt in (("no such bed", lambda: gateway.call("http.greenhouse", "water", "orchids", 1.0)),
                          ("a litre too few", lambda: gateway.call("http.greenhouse", "water", "figs", -1)),
                          ("a text is no number", lambda: gateway.get("http.greenhouse", "water", bed="figs", litres="1")),
                          ("not exposed", lambda: gateway.get("shed.tools", "spade"))):
        try:
            attempt()
        except Refused as x:
            print("%s:" % what, *x.args)


if __name__ == "__main__":
    main()
