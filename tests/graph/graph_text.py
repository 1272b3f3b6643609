"""The asset graph as text: one line an asset and a check. Prints the snapshot: see asset_graph.txt."""

from __future__ import annotations

import dagster as dg


def graph_text(defs: dg.Definitions) -> str:
    """Return keys with group, kinds, owners, pool and parents, then checks; sorted, one a line."""
    graph = defs.resolve_asset_graph()
    lines: list[str] = []
    for key in sorted(graph.get_all_asset_keys(), key=lambda one: one.path):
        node = graph.get(key)
        parents = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)) or "-"
        pools = ", ".join(sorted(node.pools or ())) or "-"
        kinds, owners = ", ".join(sorted(node.kinds)), ", ".join(node.owners)
        lines.append(
            f"{key.to_user_string()} | {node.group_name} | {kinds} | {owners} | pool {pools} | reads {parents}"
        )
    for check in sorted(graph.asset_check_keys, key=lambda one: (one.asset_key.path, one.name)):
        gate = " (blocking)" if graph.get_check_spec(check).blocking else ""
        lines.append(f"check {check.asset_key.to_user_string()}: {check.name}{gate}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    from orchestration.definitions import defs

    sys.stdout.write(graph_text(defs))
