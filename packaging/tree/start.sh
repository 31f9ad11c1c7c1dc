#!/bin/sh
# Starts a program of this tree with the tree's own Python, wherever the tree lies.
# Isolated: neither the caller's directory nor its PYTHON... variables change what runs.

self=$0
if [ -L "$self" ]; then
    self=$(readlink -f -- "$self")
fi
case $self in
    */*) here=${self%/*} ;;
    *) here=. ;;
esac

# Where distributions keep the certificates that they trust; OpenSSL itself knows only the first.
if [ -z "${SSL_CERT_FILE-}${SSL_CERT_DIR-}" ]; then
    for file in /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt \
        /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        if [ -r "$file" ]; then
            export SSL_CERT_FILE="$file"
            break
        fi
    done
fi

exec "$here/python3" -I -m @MODULE@ "$@"
