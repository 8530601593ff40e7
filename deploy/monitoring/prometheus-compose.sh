#!/bin/sh
# Prints the configuration of Prometheus in docker-compose.yml, which finds the containers of a
# service by its name. Each has the port METRICS_PORT; of GATEWAY_PROCESSES each has one more.
set -eu

port=${METRICS_PORT:-9400}
cat <<END
global:
  scrape_interval: 15s
  evaluation_interval: 15s
rule_files: [/etc/griot/rules/*.yml]
scrape_configs:
  - job_name: griot
    relabel_configs:
      - {source_labels: [__meta_dns_name], regex: '(.*)[.]', target_label: role}
    dns_sd_configs:
      # With the dot at the end, or a machine that is called gateway in the host's own domain is one.
      - {names: [worker., maintenance., beat., gateway.], type: A, port: $port, refresh_interval: 15s}
END
last=$((port + ${GATEWAY_PROCESSES:-1} - 1))
while [ "$port" -lt "$last" ]; do
  port=$((port + 1))
  echo "      - {names: [gateway.], type: A, port: $port, refresh_interval: 15s}"
done
