#!/bin/sh
# Starts one of the five: start.sh redis-1|redis-2|sentinel-1|sentinel-2|sentinel-3 PORT
# Servers and Sentinels write into their configuration who is the primary now, so it is made once and then left alone.
set -eu
umask 077
name=$1 port=$2 file=/data/$1.conf

make_configuration() {
  echo "port $port"
  echo "dir /data"
  case $name in
  redis-*)
    echo "requirepass $REDIS_PASSWORD"
    echo "masterauth $REDIS_PASSWORD"
    # A restart finds sessions and held leases again, but for the last second.
    echo "appendonly yes"
    echo "appendfsync everysec"
    echo 'save ""'
    echo "repl-diskless-sync-delay 0"
    if [ "$name" = redis-2 ]; then echo "replicaof 127.0.0.1 6379"; fi
    ;;
  sentinel-*)
    echo "requirepass $REDIS_SENTINEL_PASSWORD"
    echo "sentinel monitor soma 127.0.0.1 6379 2"
    echo "sentinel auth-pass soma $REDIS_PASSWORD"
    echo "sentinel down-after-milliseconds soma 1000"
    echo "sentinel failover-timeout soma 5000"
    echo "sentinel parallel-syncs soma 1"
    ;;
  esac
}

if [ ! -s "$file" ]; then
  make_configuration >"$file.new"
  mv "$file.new" "$file"
fi

case $name in
redis-*) exec redis-server "$file" ;;
sentinel-*) exec redis-server "$file" --sentinel ;;
esac
