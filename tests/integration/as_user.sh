#!/bin/sh
# Runs a test of the engine as a user without rights: as_user.sh TEST ENGINE. Copies both, since that user may not be
# able to reach them where they are.
set -eu
[ "$(id -u)" = 0 ] || { echo "needs root to become another user"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$1" "$2" "$folder"
chmod -R a+rX "$folder"
cd /
PLEXUS_ENGINE_PROGRAM="$folder/$(basename "$2")" \
    setpriv --reuid=65534 --regid=65534 --clear-groups "$folder/$(basename "$1")"
