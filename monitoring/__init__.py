"""Prometheus and Grafana for a cluster: rules, dashboards as code, and what loads them.

``python -m monitoring`` writes the dashboards' JSON; a test compares it with what is in the repository.
"""
