#!/bin/sh
# Runs a command where /dev/dri holds a render node with no driver behind it, and /dev little else: in a mount namespace,
# so that only the command sees it.
set -eu
[ "$(id -u)" = 0 ] || { echo "needs root to make a device"; exit 77; }
exec unshare --mount sh -eu -c '
    mount -t tmpfs -o mode=0755 devices /mnt
    for node in null zero full random urandom; do cp -a /dev/$node /mnt/$node; done
    mkdir -m 0755 /mnt/dri
    mknod -m 0666 /mnt/dri/renderD128 c 226 128
    mount --move /mnt /dev
    exec "$@"' sh "$@"
