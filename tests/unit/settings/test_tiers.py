"""Settings from both tiers: what goes before what, references, and the memory of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.errors import ConfigError, NotFoundError, SecretReferenceError
from orchestration.platform_config.faults import TierError
from orchestration.settings import load_settings
from orchestration.settings.explain import explain

PLANTED = "planted-4711-value"
PLATFORM = """\
version: 1.1.0
storage:
  default: {type: s3, bucket: the-lake, region: eu-west-1, credentials: {secret_ref: lake-keys}}
catalogs:
  default:
    type: polaris
    uri: https://polaris.example.com/api/catalog
    warehouse: lake
    credentials:
      mode: oauth2
      client_id: {secret_ref: polaris-client-id}
      client_secret: {secret_ref: polaris-client-secret}
      scope: PRINCIPAL_ROLE:ALL
compute:
  default: {type: duckdb}
engines:
  broker: {bootstrap_servers: "kafka.example.com:9092"}
  flink: {rest_url: "https://flink.example.com", parallelism: 3}
infrastructure:
  resource_profiles:
    transform:
      limits: {memory: 12Gi}
      env: {DUCKDB_THREADS: 5, FLINK_PARALLELISM: 7, PRODUCER_BUFFER_MB: 64, OMP_NUM_THREADS: 1}
environments:
  local:
    storage: {default: {type: local, bucket: warehouse, region: null, credentials: null}}
    catalogs: {default: {type: rest, uri: embedded, credentials: null, access_delegation: none}}
    engines: null
    infrastructure: {resource_profiles: {transform: {limits: null, env: null}}}
  prod:
"""
SECRETS = {"POLARIS_CLIENT_ID": "some-client", "POLARIS_CLIENT_SECRET": PLANTED, "LAKE_KEYS": f"key:{PLANTED}"}
PROD = {"MILLRACE_PLATFORM_ENV": "prod"}


@pytest.fixture
def tiers(checkout: Path) -> Path:
    """A checkout with both files."""
    (checkout / "platform" / "platform.yaml").write_text(PLATFORM)
    (checkout / "millrace.yaml").write_text(
        "name: demo\nversion: 1.0.0\nresource_profile: transform\ndatasets: [trips]\nmode: streaming\n"
    )
    return checkout


def test_with_no_variable_the_environment_local_is_the_embedded_stack(tiers: Path) -> None:
    settings = load_settings(environ={}, repo_root=tiers)
    assert (settings.profile, settings.catalog, settings.storage) == ("local", "rest", "file")
    assert settings.catalog_uri == "http://127.0.0.1:8181"
    assert settings.warehouse == f"file://{tiers}/.millrace/default/warehouse/"
    assert (settings.dataset, settings.mode) == ("trips", "streaming")
    assert settings.source_of("dataset") == "millrace.yaml:4 datasets[0]"
    assert settings.references == {}


def test_a_named_environment_gives_every_setting_it_speaks_of(tiers: Path) -> None:
    settings = load_settings(environ={**PROD, **SECRETS}, repo_root=tiers)
    assert settings.profile == "prod"
    assert (settings.catalog, settings.catalog_uri) == ("polaris", "https://polaris.example.com/api/catalog")
    assert (settings.storage, settings.warehouse) == ("s3", "s3://the-lake/")
    assert (settings.broker_url, settings.flink_rest_url) == ("kafka.example.com:9092", "https://flink.example.com")
    assert settings.catalog_access_delegation == "vended-credentials"
    assert settings.source_of("broker_url") == "platform/platform.yaml:17 engines.broker.bootstrap_servers"


def test_a_named_environment_goes_before_the_profile_and_a_variable_before_it(tiers: Path) -> None:
    (tiers / ".env").write_text("# local: mine\nBROKER_URL=profile:1\nTOPIC=mine\nCATALOG_CLIENT_SECRET=old\n")
    settings = load_settings(environ={**PROD, "FLINK_REST_URL": "http://here:1"}, repo_root=tiers)
    assert settings.broker_url == "kafka.example.com:9092"
    assert settings.topic == "mine"
    assert settings.flink_rest_url == "http://here:1"
    assert settings.catalog_client_secret is None


def test_a_profile_that_was_chosen_goes_before_the_environment_that_nobody_named(tiers: Path) -> None:
    settings = load_settings("aws", environ={}, repo_root=tiers)
    assert (settings.broker_url, settings.dataset) == ("kafka:9092", "trips")
    assert settings.source_of("catalog") == "default"


def test_an_edited_local_profile_goes_before_the_project_file(tiers: Path) -> None:
    (tiers / ".env").write_text("# local: mine\nMODE=batch\n")
    assert load_settings(environ={}, repo_root=tiers).mode == "batch"


def test_the_embedded_stack_counts_for_the_environment_local_alone(tiers: Path) -> None:
    folder = tiers / ".millrace" / "default"
    folder.mkdir(parents=True)
    (folder / "stack.env").write_text("CATALOG_URI=http://127.0.0.1:9999\nCATALOG_PORT=9999\n")
    assert load_settings(environ={}, repo_root=tiers).catalog_uri == "http://127.0.0.1:9999"
    named = load_settings(environ={}, platform_env="local", repo_root=tiers)
    assert (named.catalog_uri, named.profile) == ("http://127.0.0.1:9999", "local")
    assert load_settings(environ=PROD, repo_root=tiers).catalog_uri == "https://polaris.example.com/api/catalog"


def test_children_load_the_same_environment(tiers: Path) -> None:
    (tiers / "platform" / "profiles" / "local.env").unlink()
    child = load_settings(environ=PROD, repo_root=tiers).child_environ()
    assert load_settings(environ=child, repo_root=tiers).catalog_uri == "https://polaris.example.com/api/catalog"


def test_settings_load_without_secrets_and_all_missing_ones_come_at_once(tiers: Path) -> None:
    settings = load_settings(environ=PROD, repo_root=tiers)
    assert set(settings.pending) == {
        *("catalog_client_id", "catalog_client_secret"),
        *("aws_access_key_id", "aws_secret_access_key"),
    }
    with pytest.raises(SecretReferenceError) as caught:
        settings.with_secrets()
    lines = caught.value.message.splitlines()
    assert len(lines) == 3
    for name in ("polaris-client-id", "polaris-client-secret", "lake-keys"):
        assert any(f"'{name}'" in line and "environment prod" in line for line in lines)
    assert "platform/platform.yaml:12 catalogs.default.credentials.client_secret" in caught.value.message


def test_secrets_of_variables_and_files_are_in_the_settings_and_in_no_text(tiers: Path, tmp_path: Path) -> None:
    mount = tmp_path / "secrets"
    mount.mkdir()
    (mount / "lake-keys").write_text(f"key:{PLANTED}")
    environ = {**PROD, **SECRETS, "LAKE_KEYS": "", "MILLRACE_SECRETS_DIR": str(mount)}
    settings = load_settings(environ=environ, repo_root=tiers)
    assert settings.pending == {}
    assert settings.with_secrets() is settings
    assert settings.catalog_client_id == "some-client"
    assert settings.catalog_client_secret is not None
    assert settings.catalog_client_secret.get_secret_value() == PLANTED
    assert settings.access_key_id == "key"
    shown = (
        f"{settings!r} {settings.redacted_dump()} {[settings.trail_of(name) for name in type(settings).model_fields]}"
    )
    assert PLANTED not in shown


def test_a_secret_manager_is_asked_only_when_a_secret_is_needed(tiers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Point:
        name = "vault"

        @staticmethod
        def load() -> object:
            return lambda name: asked.append(name) or ("key:secret" if name == "lake-keys" else f"value-of-{name}")

    monkeypatch.setattr("orchestration.secrets.entry_points", lambda group: [Point])
    settings = load_settings(environ=PROD, repo_root=tiers)
    assert asked == []
    resolved = settings.with_secrets()
    assert set(asked) == {"polaris-client-id", "polaris-client-secret", "lake-keys"}
    assert resolved.access_key_id == "key"
    assert resolved.source_of("catalog_uri") == settings.source_of("catalog_uri")


def test_half_a_pair_from_the_environment_is_never_mixed_with_the_other_half(tiers: Path) -> None:
    environ = {**PROD, **SECRETS, "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "my-own-secret"}
    settings = load_settings(environ=environ, repo_root=tiers)
    assert settings.access_key_id == "mine"
    assert "aws_secret_access_key" not in settings.references


def test_a_resource_profile_reaches_duckdb_flink_and_the_producer(tiers: Path) -> None:
    settings = load_settings(environ=PROD, repo_root=tiers)
    assert settings.duckdb_memory_limit == "8232MiB"
    assert (settings.duckdb_threads, settings.flink_parallelism, settings.producer_buffer_mb) == (5, 7, 64)
    assert any("OMP_NUM_THREADS" in note and "pods" in note for note in settings.warnings())


def test_a_misspelled_setting_in_a_resource_profile_is_refused(tiers: Path) -> None:
    path = tiers / "platform" / "platform.yaml"
    path.write_text(PLATFORM.replace("DUCKDB_THREADS: 5", "DUCKDB_THREAD: 5"))
    with pytest.raises(ConfigError, match="did you mean DUCKDB_THREADS"):
        load_settings(environ=PROD, repo_root=tiers)


GIB = 1 << 30


@pytest.mark.parametrize(
    ("limit", "wanted"), [(2 * GIB, 1372), (12 * GIB, 8232), (None, None)], ids=["2 GiB", "12 GiB", "no limit"]
)
def test_pc_21_duckdb_gets_67_percent_of_the_container(
    tiers: Path, tmp_path: Path, limit: int | None, wanted: int | None
) -> None:
    group = tmp_path / "root" / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max" if limit is None else str(limit))
    settings = load_settings(environ={"DUCKDB_THREADS": "3"}, repo_root=tiers, system_root=tmp_path / "root")
    assert settings.duckdb_memory_limit == (None if wanted is None else f"{wanted}MiB")
    assert settings.duckdb_threads == 3
    assert explain(settings, "duckdb.threads").origin == "variable DUCKDB_THREADS"
    wanted_origin = "default" if limit is None else "67 % of the container's memory limit (cgroup)"
    assert explain(settings, "duckdb.memory_limit").origin == wanted_origin


def test_res_03_property_variable_resource_profile_container(tiers: Path, tmp_path: Path) -> None:
    group = tmp_path / "root" / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(str(2 * GIB))

    def limit(**environ: str) -> str | None:
        given = {**PROD, **environ}
        return load_settings(environ=given, repo_root=tiers, system_root=tmp_path / "root").duckdb_memory_limit

    assert limit() == "8232MiB"
    assert limit(DUCKDB_MEMORY_LIMIT="3GB") == "3GB"
    path = tiers / "platform" / "platform.yaml"
    path.write_text(PLATFORM.replace("{type: duckdb}", "{type: duckdb, properties: {memory_limit: 4GiB}}"))
    assert limit(DUCKDB_MEMORY_LIMIT="3GB") == "4GiB"
    settings = load_settings(environ={**PROD, "DUCKDB_MEMORY_LIMIT": "3GB"}, repo_root=tiers)
    found = explain(settings, "duckdb.memory_limit")
    assert found.origin == "platform/platform.yaml:15 compute.default.properties.memory_limit"
    assert [value for _, value in found.overridden] == ["3GB", "8232MiB"]


def test_explain_names_line_variable_stack_and_secret(tiers: Path) -> None:
    (tiers / ".env").write_text("# local: mine\n\nTOPIC=mine\n")
    settings = load_settings(environ={"POLARIS_SCOPE": "PRINCIPAL_ROLE:x", **PROD}, repo_root=tiers)
    assert explain(settings, "TOPIC").origin == f"{tiers / '.env'}:3"
    assert explain(settings, "catalog.scope").origin == "variable POLARIS_SCOPE"
    assert explain(settings, "BATCH_SIZE").origin == "default"
    secret = explain(settings, "catalog.client_secret").secret or ""
    assert secret.startswith("polaris-client-secret: no value in the variable POLARIS_CLIENT_SECRET nor at ")
    with pytest.raises(NotFoundError, match="there is no setting") as caught:
        explain(settings, "duckdb.memory_limits")
    assert "DUCKDB_MEMORY_LIMIT" in (caught.value.hint or "")


def test_two_names_of_one_thing_with_two_values_are_refused(tiers: Path) -> None:
    environ = {"FLOE_POLARIS_URI": "http://a:1", "FLOE_CATALOG_URI": "http://b:1"}
    with pytest.raises(ConfigError, match="FLOE_POLARIS_URI and FLOE_CATALOG_URI differ"):
        load_settings(environ=environ, repo_root=tiers)


def test_an_unknown_environment_is_refused_with_the_ones_there_are(tiers: Path) -> None:
    with pytest.raises(TierError, match="did you mean prod"):
        load_settings(environ={"MILLRACE_PLATFORM_ENV": "prd"}, repo_root=tiers)


def test_an_environment_described_twice_is_refused(tiers: Path) -> None:
    own = tiers / "platform" / "prod" / "platform.yaml"
    own.parent.mkdir()
    own.write_text(PLATFORM.partition("environments:")[0])
    with pytest.raises(TierError, match=r"also described in platform/prod/platform\.yaml"):
        load_settings(environ=PROD, repo_root=tiers)


def test_without_both_files_the_settings_are_as_before(checkout: Path) -> None:
    settings = load_settings(environ={}, repo_root=checkout)
    assert (settings.dataset, settings.source_of("dataset")) == ("taxi", "default")
    with pytest.raises(ConfigError, match=r"neither platform/platform.yaml nor platform/prod/platform.yaml"):
        load_settings(environ=PROD, repo_root=checkout)
