"""How jobs and the engine do: health, metrics, alerts, log."""
