#!/bin/sh
# Runs once, when the volume of PostgreSQL is new. Temporal makes its two databases itself; the platform's is made by the image.
set -eu

psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 <<'SQL'
\getenv temporal TEMPORAL_DB_PASSWORD
\getenv keycloak KEYCLOAK_DB_PASSWORD
create role temporal login createdb password :'temporal';
create role keycloak login password :'keycloak';
create database keycloak owner keycloak;
SQL
