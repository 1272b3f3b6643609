"""The two tiers of configuration: `millrace.yaml` of the data engineer and `platform.yaml` of the platform engineer.

Models, reading and checks only. `orchestration.settings` takes values from here; nothing here knows a service.
"""
