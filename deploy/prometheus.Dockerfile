# Prometheus with Griot's rules, for `docker compose --profile monitoring` (docker-compose.yml).
ARG PROMETHEUS_IMAGE=prom/prometheus:v3.5.0

FROM ${PROMETHEUS_IMAGE}
USER root
COPY monitoring/prometheus-compose.sh /etc/griot/
COPY monitoring/rules /etc/griot/rules
# A clone may be readable by its owner only.
RUN chmod -R a+rX /etc/griot
USER 65534:65534
