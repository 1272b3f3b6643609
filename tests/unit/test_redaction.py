import base64
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration import redaction
from orchestration.redaction import MASK, is_sensitive_key, redact, remember_secrets

PLANTED = "Zq7Xw9Vk"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())


LEAKY = {
    "sql option": "'password' = '§'",
    "sql option, doubled quote": "'s3.secret-access-key'='a''§'",
    "sql option, cut": "WITH ('password' = '§",
    "sql option, backslash at the end": "'password' = '§\\",
    "sql option over lines": "'credential' = 'a\n§'",
    "sql jaas": "'properties.sasl.jaas.config' = 'org.x.Plain required password=\"§\";'",
    "sql secret": "CREATE SECRET s (TYPE s3, KEY_ID 'k', SECRET '§', REGION 'r')",
    "sql client secret, double quotes": 'ATTACH (CLIENT_SECRET "§")',
    "backticks": "`password` = '§'",
    "json": '{"password": "§"}',
    "json, escaped quote": '{"password": "a\\"§"}',
    "json, blank in value": '{"client-secret":"a § b"}',
    "json number": '{"token": 1§, "x": 2}',
    "json object": '{"credentials": {"id": "§", "other": "§"}, "x": 1}',
    "json nested object": '{"secrets": {"a": {"b": "§"}}}',
    "json list": '{"tokens": ["§", "§"]}',
    "json in json": '{"body": "{\\"password\\": \\"§\\"}"}',
    "json in json in json": '{"a": "{\\\\\\"password\\\\\\": \\\\\\"§\\\\\\"}"}',
    "json cut": '{"password": "§',
    "python dict": "{'aws_secret_access_key': '§', 'a': 1}",
    "python bytes": "{b'password': b'§'}",
    "python tuple": "[('s3.secret-access-key', '§')]",
    "python secret": "SecretStr('§')",
    "python keyword": "connect(password='§', user='u')",
    "keyword with doubled quote": "password='it''s §'",
    "yaml": "password: §",
    "yaml with blanks": "user: u\n  password: a § b",
    "yaml list item": "- token: a §",
    "yaml block": "password: |\n  a\n  §\nuser: u",
    "yaml folded block": "  token: >-\n    §\n  user: u",
    "yaml list": "secrets:\n  - a\n  - §\nuser: u",
    "yaml list, not further in": "secrets:\n- a\n- §\nuser: u",
    "yaml mapping": "credentials:\n  id: a\n  value: §",
    "env": "AWS_SECRET_ACCESS_KEY=§",
    "env with blanks": "DB_PASSWORD=a § b",
    "env export": "export API_TOKEN=§",
    "env inside a line": "started with AWS_SECRET_ACCESS_KEY=§ and more",
    "env, comma in value": "x password=a,§ y",
    "env in an escaped text": "\\nTOKEN=§",
    "properties": 'sasl.jaas.config=org.x.Plain required username="u" password="§";',
    "arrow": "password -> §",
    "fat arrow": "password => '§'",
    "words": "Access Key: §",
    "xml": "<password>§</password>",
    "xml with attribute": "<client_secret id='1'>§</client_secret>",
    "hadoop xml": "<property><name>fs.s3a.secret.key</name>\n<value>§</value></property>",
    "url user": "http://u:§@host/x",
    "url user, slash in password": "http://u:a/§@host/x",
    "url user, at sign in password": "postgresql://u:a@§@host:5432/db",
    "url user only": "https://§@host/x",
    "url query": "https://h/p?token=§&x=1",
    "url signature": "https://h/p?X-Amz-Signature=§&x=1",
    "url shared access signature": "https://h/p?sv=1&sig=§%3D",
    "bearer": "Bearer §",
    "authorization header": "Authorization: Basic §§",
    "basic": "curl -H 'Basic §§'",
    "flag": "millrace --client-secret § up",
    "flag with equals": "millrace --client-secret=§ up",
    "flag, quoted": 'millrace --password "a §" up',
    "private key": "-----BEGIN RSA PRIVATE KEY-----\n§\n-----END RSA PRIVATE KEY-----",
    "private key, cut": "-----BEGIN PRIVATE KEY-----\n§",
    "azure": "AccountName=a;AccountKey=§;EndpointSuffix=x",
    "upper case": "PASSWORD: '§'",
}


@pytest.mark.parametrize("text", LEAKY.values(), ids=LEAKY)
def test_a_planted_secret_is_gone(text: str) -> None:
    redacted = redact(text.replace("§", PLANTED))
    assert PLANTED not in redacted
    assert MASK in redacted


@pytest.mark.parametrize("text", LEAKY.values(), ids=LEAKY)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text.replace("§", PLANTED))
    assert redact(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "Table bronze.raw_trips at file:///data/warehouse/ has 3 snapshots",
        "POST http://127.0.0.1:8181/v1/oauth/tokens: connection refused",
        "unexpected token 'FROM' at line 1",
        "CATALOG_CLIENT_SECRET is not set, but CATALOG_CLIENT_ID is",
        "AWS_SECRET_ACCESS_KEY='******' is refused: give both",
        "WAREHOUSE=abfss://lakehouse@account.dfs.core.windows.net/warehouse/",
        "'topic' = 'taxi.raw', 'scan.startup.mode' = 'earliest-offset'",
        '{"user": "u", "key_field": "PULocationID", "rows": 3}',
        "http://127.0.0.1:8081/jobs/00000000000000000000000000000000",
        "broker 127.0.0.1:9092, user@example.com",
    ],
)
def test_text_without_a_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'password' = 'x', 'user' = 'u'", "'password' = '******', 'user' = 'u'"),
        ('{"password": "x", "user": "u"}', '{"password": "******", "user": "u"}'),
        ("a=1\nPASSWORD=x y\nb=2", "a=1\nPASSWORD=******\nb=2"),
        ("http://u:p@h:1/x?a=1", "http://******@h:1/x?a=1"),
        ("password: |\n  x\nuser: u", "password: ******\nuser: u"),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_json_stays_json() -> None:
    text = json.dumps({"a": 1, "password": 'x"y', "token": None, "secret": [1, 2], "rows": [1]})
    assert json.loads(redact(text)) == {"a": 1, "password": MASK, "token": MASK, "secret": MASK, "rows": [1]}


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "AWS_SECRET_ACCESS_KEY",
        "aws_access_key_id",
        "s3.access-key-id",
        "credential",
        "s3.session-token",
        "adls.auth.shared-key.account.key",
        "properties.sasl.jaas.config",
        "sasl.mechanism",
        "Authorization",
        "minio_root_password",
        "azure_storage_key",
        "x-api-key",
        "connection-string",
        "password\n",
    ],
)
def test_secret_keys_are_known(key: str) -> None:
    assert is_sensitive_key(key)


@pytest.mark.parametrize("key", ["topic", "key_field", "s3.endpoint", "catalog_client_id", "uri", "warehouse", ""])
def test_other_keys_are_not_secret(key: str) -> None:
    assert not is_sensitive_key(key)


def test_a_given_secret_is_gone_wherever_it_stands() -> None:
    assert redact("could not log in as u with hunter22!", ["hunter22"]) == f"could not log in as u with {MASK}!"


def test_of_two_given_secrets_the_longer_goes_whole() -> None:
    assert redact("xx-abcdef-xx", ["abc", "abcdef"]) == f"xx-{MASK}-xx"


@pytest.mark.parametrize(
    ("spelled", "as_"),
    [
        ("it''s a \"x\"/y", "sql"),
        ('it\'s a \\"x\\"/y', "json"),
        ("it%27s%20a%20%22x%22%2Fy", "url"),
        ("it%27s+a+%22x%22%2Fy", "form"),
        (base64.b64encode(b'it\'s a "x"/y').decode(), "base64"),
        ('it\\\'s a "x"/y', "python"),
    ],
    ids=lambda value: value,
)
def test_a_given_secret_is_gone_in_each_spelling(spelled: str, as_: str) -> None:
    assert redact(f"got {spelled}.", ['it\'s a "x"/y']) == f"got {MASK}."


def test_a_remembered_secret_is_gone_from_every_later_text() -> None:
    remember_secrets(["hunter22"])
    assert redact("hunter22") == MASK


def test_a_short_value_is_not_remembered_since_it_would_take_words_out_of_messages() -> None:
    remember_secrets(["in", ""])
    assert redact("in bronze") == "in bronze"


VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(VALUES)
def test_any_value_of_a_sql_option_is_gone(value: str) -> None:
    secret = PLANTED + value + PLANTED
    assert PLANTED not in redact("'password' = '" + secret.replace("'", "''") + "'")


@given(VALUES)
def test_any_value_of_a_json_field_is_gone(value: str) -> None:
    text = json.dumps({"a": {"client_secret": PLANTED + value + PLANTED}})
    assert PLANTED not in redact(text)
    assert PLANTED not in redact(json.dumps({"body": text}))


@given(VALUES)
def test_any_value_of_a_python_dict_is_gone(value: str) -> None:
    assert PLANTED not in redact(repr({"token": PLANTED + value + PLANTED}))


@given(VALUES, st.integers(0, 60))
def test_a_cut_text_shows_no_secret(value: str, end: int) -> None:
    text = json.dumps({"password": PLANTED + value + PLANTED})
    assert PLANTED not in redact(text[: 13 + end])


SECRET_OPTIONS = [
    "password",
    "properties.sasl.jaas.config",
    "properties.ssl.keystore.password",
    "s3.secret-access-key",
    "s3.access-key",
    "credential",
    "oauth2-token",
    "MY_API_KEY",
    "connection.passphrase",
]


@given(st.sampled_from(SECRET_OPTIONS), VALUES, st.sampled_from([" = ", "=", "  =\n  "]))
def test_a_ddl_shows_no_secret_option_and_keeps_the_others(key: str, value: str, equals: str) -> None:
    secret = PLANTED + value + PLANTED
    option = f"'{key}'{equals}{quoted(secret)}"
    ddl = f"CREATE TABLE `t` (a INT) WITH (\n  'connector' = 'jdbc',\n  {option},\n  'topic' = 'x'\n)"
    shown = redact(ddl)
    assert PLANTED not in shown
    assert "'connector' = 'jdbc'" in shown
    assert shown.endswith("'topic' = 'x'\n)")


@given(st.sampled_from(SECRET_OPTIONS), VALUES, st.integers(0, 200))
def test_a_ddl_cut_anywhere_shows_no_secret(key: str, value: str, end: int) -> None:
    ddl = f"CREATE TABLE t (a INT) WITH ('{key}' = {quoted(PLANTED + value + PLANTED)}, 'topic' = 'x')"
    assert PLANTED not in redact(ddl[:end])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=6, max_size=30), VALUES)
def test_a_remembered_secret_is_gone_from_any_statement(secret: str, around: str) -> None:
    remember_secrets([secret])
    assert quoted(secret)[1:-1] not in redact(f"{around}SELECT {quoted(secret)} AS a, '{secret}{around}'")


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@given(st.text(max_size=200))
def test_redaction_of_any_text_settles(text: str) -> None:
    assert isinstance(redact(text), str)


@pytest.mark.parametrize(
    "part",
    ["a.", "password ", "password: ", "'", '"', "{", '\\"', "http://a:", "token:", " ", "-", "\n", "password:\n", "_"],
    ids=repr,
)
def test_long_text_takes_no_long_time(part: str) -> None:
    text = part * (100_000 // len(part))
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 5


def test_the_mask_itself_is_no_word_of_a_pattern() -> None:
    assert re.fullmatch(r"\*+", MASK)
