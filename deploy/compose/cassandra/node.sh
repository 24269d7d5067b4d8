#!/bin/sh
# Starts a Cassandra node of the demonstration. It replaces the entry point of the official image, whose variables cannot set
# TLS. It works as the image's user, in the official image and in the one of internal/testenv.
set -eu
mkdir -p "$CASSANDRA_CONF"
cp -R /etc/cassandra/. "$CASSANDRA_CONF"
cp /common/* /compose/jvm-server.options "$CASSANDRA_CONF"
sed "s/SEEDS/$CASSANDRA_SEEDS/" /compose/cassandra.yaml >"$CASSANDRA_CONF/cassandra.yaml"
printf 'dc=%s\nrack=rack1\n' "$CASSANDRA_DC" >"$CASSANDRA_CONF/cassandra-rackdc.properties"
exec cassandra -f
