#!/bin/sh
# Runs once, when the volume of PostgreSQL is new. Temporal makes its two databases itself; the platform's is made by the image.
set -eu

psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 \
  --set temporal="$TEMPORAL_DB_PASSWORD" --set keycloak="$KEYCLOAK_DB_PASSWORD" <<'SQL'
create role temporal login createdb password :'temporal';
create role keycloak login password :'keycloak';
create database keycloak owner keycloak;
SQL
