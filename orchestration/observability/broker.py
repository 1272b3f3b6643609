"""What is on the broker: ends of the logs, and how far consumer groups and bronze are behind."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric

from orchestration.broker.survey import GroupLag, Survey, age_of_lag, survey
from orchestration.contracts import DatasetContract
from orchestration.lakehouse.streams.definition import consumer_group
from orchestration.observability.families import gauge
from orchestration.settings import Settings

_PLACE = ("topic", "partition")
_GROUP = ("group", "topic", "partition")


def collect_broker(settings: Settings, contract: DatasetContract) -> list[Metric]:
    """Return the logs of all topics and the lag of all consumer groups, within bounds.

    Raises:
        UnreachableError: the broker does not answer.
    """
    found = survey(settings, (contract.topic, contract.dlq_topic), (consumer_group(contract.name),))
    return broker_families(found, age_of_lag(settings, found.lags))


def broker_families(found: Survey, ages: dict[GroupLag, float]) -> list[Metric]:
    """Return a survey as metrics; `ages` are in seconds."""
    places = {(topic, str(partition)): log for (topic, partition), log in found.logs.items()}
    lags = {(one.group, one.topic, str(one.partition)): one for one in found.lags}
    return [
        gauge(
            "millrace_topic_start_offset",
            "First offset that the broker keeps",
            _PLACE,
            {key: log.start for key, log in places.items()},
        ),
        # By name a gauge: a topic that is made anew starts at 0, and its offsets are no events of this process.
        gauge(
            "millrace_topic_end_offset",
            "Offset that the next record gets",
            _PLACE,
            {key: log.end for key, log in places.items()},
        ),
        gauge(
            "millrace_consumer_committed_offset",
            "First offset that the group has not committed",
            _GROUP,
            {key: one.committed for key, one in lags.items()},
        ),
        gauge(
            "millrace_consumer_lag_records",
            "Records that the group has not committed",
            _GROUP,
            {key: one.lag_records for key, one in lags.items()},
        ),
        gauge(
            "millrace_consumer_lag_seconds",
            "How long the oldest record waits that the group has not committed",
            _GROUP,
            {key: ages.get(one) for key, one in lags.items()},
        ),
        gauge(
            "millrace_broker_left_out",
            "Topics and groups that are not shown, because there are too many",
            (),
            {(): found.left_out},
        ),
    ]
