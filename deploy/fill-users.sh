#!/bin/sh
# Puts what is a deployment's own into users.acl, and prints it: the hash of each user's password,
# and REDIS_KEY_PREFIX. Redis reads the result with `aclfile`.
#
#   REDIS_PASSWORD=… REDIS_WORKER_PASSWORD=… fill-users.sh users.acl > /etc/redis/users.acl
#
# REDIS_PASSWORD is the administrator's (the user `default`). A user whose REDIS_<ROLE>_PASSWORD is
# unset or empty has the administrator's, too: his rights are bounded then, and nothing keeps him
# from taking another name.
set -eu
umask 077

hash_of() {
    printf %s "$1" | sha256sum | cut -c 1-64
}

script="s/ #admin / #$(hash_of "${REDIS_PASSWORD:?set REDIS_PASSWORD}") /"
for role in $(sed -n 's/.* on #\([a-z]*\) .*/\1/p' "$1"); do
    name=$(printf %s "REDIS_${role}_PASSWORD" | tr '[:lower:]' '[:upper:]')
    eval "password=\${$name:-\$REDIS_PASSWORD}"
    script="$script; s/ #$role / #$(hash_of "$password") /"
done

prefix=${REDIS_KEY_PREFIX:-ecowas}
if [ "$prefix" != ecowas ]; then
    script="$script; s/~ecowas:/~$prefix:/g"
    script="$script; s/~\(chat\|celery\|maintenance\|unacked\|chord-unlock\)/~$prefix.\1/g"
    script="$script; s/\*\.celery\./*.$prefix.celery./g; s/\.reply\.celery\./.reply.$prefix.celery./g"
    script="$script; s/&\(\/[0-9]*\.\)\{0,1\}celery/\&\1$prefix.celery/g"
fi
exec sed "$script" "$1"
