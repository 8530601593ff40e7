# Redis with Griot's configuration and users (docker-compose.yml). Passwords come when it starts.
ARG REDIS_IMAGE=redis:7.4.10-bookworm

FROM ${REDIS_IMAGE}
COPY redis.conf users.acl fill-users.sh /etc/griot/
# A clone may be readable by its owner only.
RUN chmod 0755 /etc/griot && chmod 0644 /etc/griot/*
