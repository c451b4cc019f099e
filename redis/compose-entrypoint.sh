#!/bin/sh
# Starts one server of docker-compose.yml: state or cache, then further redis-server options.
# Fills in users.acl as scripts/lib/redis-server.mjs does; the containers mount this folder at /etc/redis.
set -eu

role=$1
shift

sha256() {
  printf %s "$1" | sha256sum | cut -d ' ' -f 1
}

sed -e '/^#/d' \
  -e "s/@ADMIN_SHA256@/$(sha256 "$REDIS_ADMIN_PASSWORD")/" \
  -e "s/@API_SHA256@/$(sha256 "$REDIS_API_PASSWORD")/" \
  /etc/redis/users.acl >/run/redis/users.acl
if [ "$role" = state ]; then
  sed -i 's/ &__redis__:invalidate//' /run/redis/users.acl
fi

# requirepass says the same as the user `default` of the ACL file, which wins; should the file ever get lost, it stays shut.
exec redis-server "/etc/redis/$role.conf" --bind '*' --dir /data --aclfile /run/redis/users.acl \
  --requirepass "$REDIS_ADMIN_PASSWORD" "$@"
