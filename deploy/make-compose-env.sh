#!/bin/sh
# Makes compose.env of compose.env.example, with fresh secrets, and the public key for OPA. Never overwrites one that is there.
set -eu
umask 077
cd "$(dirname "$0")"
if [ -e compose.env ]; then
  echo "deploy/compose.env is there already, and its passwords are in the volumes. Nothing was changed." >&2
  exit 1
fi

SIGNING_KEY=$(openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)
UNSEAL_KEY=$(openssl rand -hex 32)
export SIGNING_KEY UNSEAL_KEY
printf '%s\n' "$SIGNING_KEY" | openssl pkey -pubout -out compose.opa.pem
# OPA runs as a user of its own.
chmod 644 compose.opa.pem

awk '
  function secret(command, value) { command = "openssl rand -hex 24"; command | getline value; close(command); return value }
  /^[A-Z0-9_]+=$/ { made[$0] = secret(); $0 = $0 made[$0] }
  !/^#/ {
    gsub("<POSTGRES_PASSWORD>", made["POSTGRES_PASSWORD="])
    gsub("<SIGNING_KEY>", ENVIRON["SIGNING_KEY"])
    gsub("<UNSEAL_KEY>", ENVIRON["UNSEAL_KEY"])
  }
  { print }
' compose.env.example >compose.env.new
mv compose.env.new compose.env
echo "Made deploy/compose.env and deploy/compose.opa.pem."
