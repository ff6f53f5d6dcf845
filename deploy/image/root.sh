#!/bin/sh
# Puts together what is in the image: the program, what it is linked with, and whom TLS believes.
#
#   deploy/image/root.sh BINARY FOLDER
set -eu
binary=$1
root=$2

install -D -m 0755 "$binary" "$root/usr/local/bin/doorward"
ln -sf doorward "$root/usr/local/bin/apinode-admin"

# Each library where the program looks for it; the last one that is named is the loader itself.
libraries=$(ldd "$binary" | awk '/\// { print $(NF - 1) }')
for library in $libraries; do
    install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done

# For `rediss://`, and for issuers whose keys are fetched.
install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo 'doorward:x:65532:65532:doorward:/var/lib/doorward:/sbin/nologin' >"$root/etc/passwd"
echo 'doorward:x:65532:' >"$root/etc/group"

install -d -m 0755 "$root/etc/doorward"
install -d -m 0700 "$root/var/lib/doorward"
