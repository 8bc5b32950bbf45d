"""Creates a certificate authority, and certificates for a server and a client; needs the program openssl."""
import argparse
import os
import subprocess


def openssl(*arguments, text=""):
    subprocess.run(["openssl", *arguments], input=text.encode(), check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o600)


def make_authority(days):
    make_key("authority.key")
    openssl("req", "-x509", "-new", "-key", "authority.key", "-days", days, "-subj", "/CN=Lighthouse authority",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", "authority.pem")


def make_certificate(name, subject, days, *extensions):
    make_key(name + ".key")
    openssl("req", "-new", "-key", name + ".key", "-subj", "/CN=" + subject, "-out", name + ".request")
    with open(name + ".extensions", "w") as file:
        file.write("\n".join(("basicConstraints=critical,CA:FALSE", "subjectKeyIdentifier=hash",
                              "authorityKeyIdentifier=keyid") + extensions))
    openssl("x509", "-req", "-in", name + ".request", "-days", days, "-CA", "authority.pem", "-CAkey", "authority.key",
            "-CAcreateserial", "-extfile", name + ".extensions", "-out", name + ".pem")
    os.remove(name + ".request")
    os.remove(name + ".extensions")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="certificates")
    parser.add_argument("--names", default="DNS:localhost,IP:127.0.0.1", help="host names and addresses of the server")
    parser.add_argument("--keeper", default="Ada", help="name of the client")
    parser.add_argument("--days", default="30")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    os.chdir(options.folder)
    make_authority(options.days)
    make_certificate("server", "Lighthouse", options.days, "extendedKeyUsage=serverAuth", "subjectAltName=" + options.names)
    make_certificate("client", options.keeper, options.days, "extendedKeyUsage=clientAuth")
    print("made in %s: %s" % (os.getcwd(), " ".join(sorted(name for name in os.listdir(".") if name.endswith(".pem")))))


if __name__ == "__main__":
    main()
