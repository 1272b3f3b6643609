"""`millrace dlq`: dead letters, listed, shown and replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.terminal import AsJson, number, print_json, say, show, stdout_reserved, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestration.broker.dead_letters import DeadLetter
    from orchestration.broker.letter_list import LetterList, Place
    from orchestration.contracts import DatasetContract
    from orchestration.lakehouse.refit import Refit
    from orchestration.lakehouse.replay import ReplayResult
    from orchestration.settings import Settings

app = typer.Typer(help="List, show and replay dead letters.", no_args_is_help=True)

Reason = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="TEXT", help="Only this class (such as malformed, wrong_type), or this part of the reason."
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only what came since: `2 h`, `7 d`, or a time in ISO 8601 (UTC)."),
]
_SHOWN = 70


@app.command("list")
def list_command(
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show at most so many letters.")] = 20,
    reason: Reason = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Count the dead letters by class and reason, and show the newest.

    The counts are over all that are kept and selected; --limit is for the letters below them.

    Examples:

        millrace dlq list

        millrace dlq list --reason wrong_type --since "2 h"

        millrace dlq list --json | jq .classes
    """
    with stdout_reserved():
        from itertools import chain

        from orchestration.broker.dead_letters import scan_dead_letters
        from orchestration.broker.letter_list import Selection, list_letters
        from orchestration.lakehouse.replay import read_replayed

        selection = Selection(reason, parse_since(since))
        settings, contract = _active()
        replayed = read_replayed(settings, contract).letters
        found = list_letters(
            chain.from_iterable(scan_dead_letters(settings, contract)), selection, limit, replayed=replayed
        )
    if as_json:
        print_json(list_document(contract.dlq_topic, found))
    else:
        _show_list(contract.dlq_topic, found)


@app.command("show")
def show_command(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="The letter, as `dlq list` names it.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: why, since when, where it came from, its payload, and whether it fits now.

    Examples:

        millrace dlq show 0:17

        millrace dlq show 0:17 --json | jq -r .payload
    """
    partition, offset = parse_place(place)
    with stdout_reserved():
        from orchestration.broker.dead_letters import read_dead_letter
        from orchestration.lakehouse.replay import judge_letter, read_replayed

        settings, contract = _active()
        letter = read_dead_letter(settings, contract, partition, offset)
        document = letter_document(letter, is_replayed=letter.place in read_replayed(settings, contract).letters)
        document |= _verdict(judge_letter(settings, contract, letter))
    if as_json:
        print_json(document)
    else:
        _show_letter(document)


@app.command("replay")
def replay_command(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]...", help="Only these letters; default: all.")
    ] = None,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the dead letters that fit the contract now to the main topic, each once, however often this is run.

    For after a fix of the contract. What still does not fit is left, and counted by reason. The dead letters stay
    where they are; the next `millrace run` loads what was sent.

    Examples:

        millrace dlq replay --dry-run

        millrace dlq replay --reason "field passenger_count"

        millrace dlq replay 0:17 0:18 --json
    """
    chosen = frozenset(parse_place(place) for place in places or ())
    with stdout_reserved():
        from orchestration.broker.letter_list import Selection
        from orchestration.lakehouse.replay import replay

        settings, contract = _active()
        result = replay(settings, contract, Selection(reason, places=chosen), dry_run=dry_run, on_wait=say)
    if as_json:
        print_json(result.as_dict())
    else:
        _show_replay(result, contract.topic)


def parse_place(text: str) -> Place:
    """Return the partition and offset of `PARTITION:OFFSET`."""
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not PARTITION:OFFSET, such as 0:17", param_hint="PARTITION:OFFSET")
    return int(partition), int(offset)


def parse_since(text: str | None, now: datetime | None = None) -> datetime | None:
    """Return the time that `--since` names: a duration before now, or a time of day; one without zone is UTC."""
    if text is None:
        return None
    from orchestration.flink.text.durations import parse_duration

    try:
        return (now or datetime.now(UTC)) - parse_duration(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a duration such as `2 h` nor a time such as 2024-01-31T12:00", param_hint="--since"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def list_document(topic: str, found: LetterList) -> dict[str, Any]:
    """Return what `dlq list --json` prints."""
    return {
        "topic": topic,
        "dead_letters": found.letters,
        "replayed": sum(one.replayed for one in found.reasons),
        "classes": found.classes(),
        "reasons": [
            {
                "class": one.class_name,
                "reason": one.reason,
                "dead_letters": one.letters,
                "replayed": one.replayed,
                "newest": one.newest.isoformat() if one.newest else None,
            }
            for one in found.reasons
        ],
        "newest": [letter_document(one, is_replayed=one.place in found.replayed) for one in found.newest],
    }


def letter_document(letter: DeadLetter, *, is_replayed: bool) -> dict[str, Any]:
    """Return one dead letter as JSON values; `payload` is what was rejected, as text: of a row, its JSON."""
    from orchestration.broker.letter_list import class_of

    return {
        "place": "{}:{}".format(*letter.place),
        "class": class_of(letter.error),
        "reason": letter.error,
        "rejected_at": letter.timestamp or None,
        "received_at": letter.at.isoformat(timespec="milliseconds"),
        "source": source_of(letter),
        "headers": dict(letter.source),
        "payload": payload_text(letter),
        "row": dict(letter.row),
        "replayed": is_replayed,
    }


def source_of(letter: DeadLetter) -> str:
    """Return where a dead letter came from: place on its topic, or row of its file."""
    from orchestration.broker.dead_letters import SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC
    from orchestration.generator.identity import SOURCE_HEADER, parse_source

    headers = letter.source
    if letter.is_record:
        return f"{headers[SOURCE_TOPIC]} {headers.get(SOURCE_PARTITION)}:{headers.get(SOURCE_OFFSET)}"
    source = parse_source(headers.get(SOURCE_HEADER, "").encode())
    return f"row {source[1]} of file {source[0]}" if source else "unknown"


def payload_text(letter: DeadLetter) -> str | None:
    """Return what was rejected: a record with escapes where it is no UTF-8, a row as JSON; None: a tombstone."""
    import json

    if letter.is_record:
        return None if letter.payload is None else letter.payload.decode("utf-8", "backslashreplace")
    return json.dumps(letter.row) if letter.is_envelope else str(letter.row["raw"])


def _active() -> tuple[Settings, DatasetContract]:
    from orchestration.contracts.resolve import active_contract
    from orchestration.settings import load_settings

    settings = load_settings()
    return settings, active_contract(settings)


def _verdict(found: Refit) -> dict[str, Any]:
    return {"fits_now": found.fits, "why_not": found.reason}


def _show_list(topic: str, found: LetterList) -> None:
    if not found.letters:
        show(f"{topic}: no dead letters")
        return
    table(
        ("class", "reason", "dead letters", "replayed", "newest"),
        [
            (one.class_name, one.reason[:_SHOWN], number(one.letters), number(one.replayed), _local(one.newest))
            for one in found.reasons
        ],
        right=("dead letters", "replayed"),
    )
    if found.newest:
        show()
        table(("place", "at", "class", "source", "payload"), list(_lines(found.newest)))
    show(f"\n{topic}: {number(found.letters)} dead letters; `millrace dlq show PLACE` has all of one")


def _lines(letters: Iterable[DeadLetter]) -> Iterable[tuple[str, ...]]:
    from orchestration.broker.letter_list import class_of

    for letter in letters:
        text = payload_text(letter)
        short = "(no value)" if text is None else " ".join(text.split())
        short = short if len(short) <= _SHOWN else short[: _SHOWN - 1] + "…"
        yield "{}:{}".format(*letter.place), _local(letter.at), class_of(letter.error), source_of(letter), short


def _show_letter(document: dict[str, Any]) -> None:
    verdict = "yes, `millrace dlq replay` sends it" if document["fits_now"] else f"no: {document['why_not']}"
    lines = {
        "dead letter": document["place"],
        "reason": f"{document['reason']} ({document['class']})",
        "rejected": document["rejected_at"] or "-",
        "source": document["source"],
        "replayed": "yes" if document["replayed"] else "no",
        "fits now": verdict,
    }
    for title, text in lines.items():
        show(f"{title:<12} {text}")
    show("payload")
    show("(no value)" if document["payload"] is None else document["payload"])


def _show_replay(result: ReplayResult, topic: str) -> None:
    did = "would be sent" if result.dry_run else "sent"
    if result.recovered:
        say(f"{number(result.recovered)} had been sent by a replay that was killed")
    for reason, count in result.left.items():
        show(f"left   {number(count):>9}  {reason}")
    show(
        f"{number(result.sent)} of {number(result.selected)} dead letters {did} to {topic}; "
        f"{number(result.already_replayed)} were replayed before, {number(sum(result.left.values()))} do not fit"
    )
    if result.sent and not result.dry_run:
        say("`millrace run` loads them")


def _local(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "-"
