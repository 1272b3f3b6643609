"""The stream of a dataset: one Flink job that feeds bronze, silver and the rejected rows while events arrive.

It is a persistent query of the SQL engine (orchestration.flink.queries), which keeps its life cycle. What a stream
needs beyond that is here: where it starts, whether a saved state still fits its tables, who may write them beside it,
and how silver is brought to the latest arrival without a rewrite under the stream's feet. docs/adr/0005-streams.md
has the reasons.
"""
