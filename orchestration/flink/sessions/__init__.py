"""Gateway sessions: opening, replay of what was declared, heartbeat, pool."""
