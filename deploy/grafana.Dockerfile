# Grafana with Griot's dashboard, for `docker compose --profile monitoring` (docker-compose.yml).
ARG GRAFANA_IMAGE=grafana/grafana:12.1.1

FROM ${GRAFANA_IMAGE}
USER root
COPY monitoring/grafana/provisioning /etc/griot/provisioning
COPY monitoring/grafana/dashboards /etc/griot/dashboards
# A clone may be readable by its owner only.
RUN chmod -R a+rX /etc/griot
USER 472:472
