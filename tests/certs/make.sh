#!/bin/sh
# Makes all the files here anew (OpenSSL 1.1.1 or newer). The authority's own key is not kept.
set -e
cd "$(dirname "$0")"
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
encrypt() { openssl pkcs8 -topk8 -in "$1.key" -passout pass:secret -out "$1-encrypted.key"; }

# name of the files, common name, purpose, host names
sign() {
    new_key "$1.key"
    printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
        extendedKeyUsage="$3" subjectAltName="$4" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid > extensions
    openssl req -new -key "$1.key" -subj "/CN=$2" |
        openssl x509 -req -days 36500 -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out "$1.pem"
    encrypt "$1"
}

new_key ca.key
openssl req -x509 -new -key ca.key -days 36500 -subj "/CN=Test authority" -out ca.pem \
    -addext keyUsage=critical,keyCertSign,cRLSign
sign server "Test server" serverAuth DNS:localhost,IP:127.0.0.1,IP:::1
sign client "Test client" clientAuth DNS:client.test
rm ca.key ca.srl extensions
