"""What Prometheus and Grafana need: configuration, alerts, a dashboard, and what makes them."""
