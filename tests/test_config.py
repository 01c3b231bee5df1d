"""Settings: which layer wins, who is remembered as having set them, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from zonemgr import config, data
from zonemgr.config import Config
from zonemgr.errors import ConfigError, UsageError


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(
    tmp_path: Path,
    text: str = "",
    *,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, object] | None = None,
) -> str:
    file = written(tmp_path / "zonemgr.toml", text)
    with pytest.raises(ConfigError) as wrong:
        config.load([file], environ=environ or {}, options=options)
    return str(wrong.value).replace(str(file), "FILE")


def test_a_host_without_any_configuration_has_the_built_in_settings() -> None:
    found = config.load([], environ={})
    assert found == Config()
    assert found.diz.dataset == "rpool/zones/diz"
    assert config.source(found, "diz.dataset") == "built-in"


def test_each_layer_wins_over_the_one_before_and_is_remembered(tmp_path: Path) -> None:
    """Layer N sets the first N+1 limits, so that each limit shows where a layer stops being overruled."""
    keys = ["ask_limit", "change_limit", "install_limit", "clone_limit", "boot_limit", "halt_limit"]

    def layer(number: int) -> str:
        return "[host]\n" + "".join(f"{key} = {number}\n" for key in keys[: len(keys) - number])

    system = written(tmp_path / "etc/zonemgr.toml", layer(1))
    own = written(tmp_path / "home/zonemgr.toml", layer(2))
    named = written(tmp_path / "named.toml", layer(3))
    explicit = written(tmp_path / "explicit.toml", layer(4))
    environ = {"ZONEMGR_CONF": str(named), "ZONEMGR_HOST_ASK_LIMIT": "5"}

    found = config.load([system, own], explicit=explicit, environ=environ)
    sources = {key: (config.get(found, f"host.{key}"), config.source(found, f"host.{key}")) for key in keys}
    assert sources == {
        "ask_limit": (5, "ZONEMGR_HOST_ASK_LIMIT"),
        "change_limit": (4, str(explicit)),
        "install_limit": (3, str(named)),
        "clone_limit": (2, str(own)),
        "boot_limit": (1, str(system)),
        "halt_limit": (120, "built-in"),
    }

    found = config.load([system, own], explicit=explicit, environ=environ, options={"host.ask_limit": 6})
    assert (found.host.ask_limit, config.source(found, "host.ask_limit")) == (6, "command line")


def test_the_files_looked_for_are_those_of_the_host_and_of_the_user(tmp_path: Path) -> None:
    written(tmp_path / ".config/zonemgr/zonemgr.toml", '[exec]\nuser = "jenkins"\n')
    found = config.load(environ={"HOME": str(tmp_path)})
    assert found.exec.user == "jenkins"
    assert config.layers.default_files({"HOME": "/home/ci"}) == [
        Path("/etc/zonemgr/zonemgr.toml"),
        Path("/home/ci/.config/zonemgr/zonemgr.toml"),
    ]
    # cron on illumos sets HOME; a service started without one still gets the host's settings.
    assert config.layers.default_files({}) == [Path("/etc/zonemgr/zonemgr.toml")]


def test_files_that_are_only_looked_for_may_be_absent_but_named_ones_may_not(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert config.load([absent], environ={}) == Config()
    with pytest.raises(ConfigError, match=r"absent\.toml: there is no such file"):
        config.load([], explicit=absent, environ={})
    with pytest.raises(ConfigError, match=r"absent\.toml: there is no such file"):
        config.load([], environ={"ZONEMGR_CONF": str(absent)})
    assert config.load([], environ={"ZONEMGR_CONF": ""}) == Config()


def test_variables_are_read_as_the_kind_of_value_their_setting_has() -> None:
    environ = {
        "ZONEMGR_GIZ_PACKAGES": "developer/gcc-13 'a b'",
        "ZONEMGR_ZFS_AUTO_SNAPSHOT": "Yes",
        "ZONEMGR_STATE_KEEP_RUNS": "0",
        "ZONEMGR_HOST_ELEVATE": "",
        "ZONEMGR_LAB_DIR": "/the/lab/uses/its/own",
        "ZONEMGR": "/usr/bin/zonemgr",
        "ZONE": "no business of ours",
    }
    found = config.load([], environ=environ)
    assert found.giz.packages == ("developer/gcc-13", "a b")
    assert found.zfs.auto_snapshot is True
    assert found.state.keep_runs == 0
    assert found.host.elevate == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[diz]\ndatset = "p/d"', "there is no setting diz.datset; the nearest is diz.dataset"),
        ("[diz]\nask_limit = 5", "there is no setting diz.ask_limit; the nearest is host.ask_limit"),
        ('[dizz]\ndataset = "p/d"', "there is no setting dizz.dataset; the nearest is diz.dataset"),
        ("ask_limt = 5", "there is no setting ask_limt; the nearest is host.ask_limit"),
        ("[hosts]", "there is no setting hosts; the nearest is host.path"),
        ("giz = 3", "giz is a section, which begins with [giz]"),
        ("[giz]\ndataset = 3", "giz.dataset: wanted text, found the number 3"),
        ("[giz.dataset]\nx = 1", "giz.dataset: wanted text, found a table"),
        ('[giz]\npackages = "gcc"', "giz.packages: wanted a list of texts, found the text 'gcc'"),
        (
            "[giz]\npackages = ['gcc', 3]",
            "giz.packages: wanted a list of texts, found a list with the number 3 in it",
        ),
        ("[host]\nask_limit = true", "host.ask_limit: wanted a whole number, found true"),
        ("[host]\nask_limit = 1.5", "host.ask_limit: wanted a whole number, found the number 1.5"),
        ("[host]\nask_limit = 0", "host.ask_limit: 0 is less than 1"),
        ("[state]\nkeep_runs = -1", "state.keep_runs: -1 is less than 0"),
        ("[zfs]\nauto_snapshot = 1", "zfs.auto_snapshot: wanted true or false, found the number 1"),
        ("[zfs]\natime = 1979-05-27", "zfs.atime: wanted text, found the date 1979-05-27"),
        ('[exec]\ndiscard = "maybe"', "exec.discard: 'maybe' is none of off, always, onsuccess, onfail"),
        (
            '[giz]\ndataset = "rpool//giz"',
            "giz.dataset: 'rpool//giz' will not do: it has an empty or forbidden component",
        ),
        (
            '[giz]\nmountpoint = "zones/giz"',
            "giz.mountpoint: 'zones/giz' will not do: it is not a plain absolute path",
        ),
        (
            '[giz]\nmountpoint = "/zones/../etc"',
            "giz.mountpoint: '/zones/../etc' will not do: it is not a plain absolute path",
        ),
        (
            '[giz]\ntemplate = "a\\"b"',
            "giz.template: 'a\"b' will not do: it has characters that zonecfg refuses",
        ),
        ('[exec]\nuser = "a\\nb"', "exec.user: it has a control character"),
        ('[host]\nelevate = "sudo \'-u"', 'host.elevate: "sudo \'-u" will not do: no closing quotation'),
        ('[giz]\ndataset = "rpool/zones/diz"', "giz.dataset and diz.dataset are the same"),
    ],
)
def test_a_wrong_setting_is_refused_with_file_key_and_reason(tmp_path: Path, text: str, message: str) -> None:
    where, _, what = refusal(tmp_path, text).partition(": ")
    assert where in ("FILE", "FILE and built-in")
    assert what == message


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("ZONEMGR_DIZ_DATSET", "x", "it sets nothing; the nearest is ZONEMGR_DIZ_DATASET"),
        ("ZONEMGR_ASK_LIMIT", "5", "it sets nothing; the nearest is ZONEMGR_HOST_ASK_LIMIT"),
        ("ZONEMGR_HOST_ASK_LIMIT", "soon", "host.ask_limit: wanted a whole number, found 'soon'"),
        ("ZONEMGR_HOST_ASK_LIMIT", "0", "host.ask_limit: 0 is less than 1"),
        ("ZONEMGR_ZFS_AUTO_SNAPSHOT", "", "zfs.auto_snapshot: wanted true or false, found ''"),
        ("ZONEMGR_GIZ_PACKAGES", "a 'b", "giz.packages: No closing quotation"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    tmp_path: Path, variable: str, text: str, message: str
) -> None:
    assert refusal(tmp_path, environ={variable: text}) == f"{variable}: {message}"


def test_an_option_is_checked_like_a_setting_and_none_means_not_given(tmp_path: Path) -> None:
    assert refusal(tmp_path, options={"exec.discard": "perhaps"}).startswith(
        "command line: exec.discard: 'perhaps'"
    )
    assert config.load([], environ={}, options={"exec.discard": None}) == Config()


def test_all_faults_of_all_layers_are_reported_at_once(tmp_path: Path) -> None:
    text = refusal(tmp_path, "[diz]\ndatset = 1\n[host]\nask_limit = 'x'\n", environ={"ZONEMGR_FOO": "1"})
    first, *faults = text.splitlines()
    assert first == "3 settings are wrong:"
    assert [fault.split(":")[0].strip() for fault in faults] == ["ZONEMGR_FOO", "FILE", "FILE"]


def test_the_hint_leads_to_the_file_that_explains_every_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        config.load([], environ={"ZONEMGR_FOO": "1"})
    assert wrong.value.hint is not None
    explained = Path(wrong.value.hint.partition(": ")[2])
    assert "[diz]" in explained.read_text()


def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[diz\n").startswith("FILE: Expected ']'")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[exec]\nuser = "j\xf6rg"\n')
    with pytest.raises(ConfigError, match=r"latin\.toml: .*utf-8"):
        config.load([latin], environ={})


def test_a_folder_in_a_files_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r": it cannot be read: Is a directory"):
        config.load([tmp_path], environ={})


def test_a_file_that_everyone_can_write_is_refused_because_it_names_commands(tmp_path: Path) -> None:
    file = written(tmp_path / "zonemgr.toml", '[host]\nelevate = "/tmp/mine"\n')
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="everyone can write it"):
        config.load([file], environ={})
    file.chmod(0o664)
    assert config.load([file], environ={}).host.elevate == "/tmp/mine"


def test_get_answers_by_key_and_refuses_one_that_does_not_exist() -> None:
    assert config.get(Config(), "exec.discard") == "always"
    with pytest.raises(UsageError, match=r"no setting exec\.discrad; the nearest is exec\.discard"):
        config.get(Config(), "exec.discrad")
    with pytest.raises(UsageError, match="exec is a section"):
        config.get(Config(), "exec")


def test_show_has_every_setting_with_its_source(tmp_path: Path) -> None:
    file = written(tmp_path / "zonemgr.toml", '[giz]\nbrand = "nlipkg"\n')
    rows = {key: (value, source) for key, value, source in config.show(config.load([file], environ={}))}
    assert rows["giz.brand"] == ("nlipkg", str(file))
    assert rows["giz.template"] == ("", "built-in")
    assert list(rows) == list(config.SETTINGS)


def test_the_shipped_file_has_every_setting_its_default_and_its_reason() -> None:
    text = (data.conf() / "zonemgr.toml").read_text()
    in_file = {
        f"{section}.{name}": value
        for section, table in tomllib.loads(text).items()
        for name, value in table.items()
    }
    in_code = {
        key: list(s.default) if isinstance(s.default, tuple) else s.default
        for key, s in config.SETTINGS.items()
    }
    assert in_file == in_code
    assert list(in_file) == list(in_code)
    for setting in config.SETTINGS.values():
        assert f"# {setting.why}\n{setting.name} = " in text
    assert text == config.as_toml(Config(), reasons=True), "conf/zonemgr.toml is stale: make conf"


def test_the_shipped_file_can_be_loaded_and_changes_nothing() -> None:
    file = data.conf() / "zonemgr.toml"
    found = config.load([], explicit=file, environ={})
    assert found == Config()
    assert config.source(found, "host.path") == str(file)


def test_what_is_shown_as_toml_can_be_loaded_again(tmp_path: Path) -> None:
    options = {
        "giz.packages": ["a", 'b"c'],
        "zfs.auto_snapshot": True,
        "host.path": "/opt/ü/bin",
        "exec.timeout": 9,
    }
    shown = config.load([], environ={}, options=options)
    again = config.load([written(tmp_path / "again.toml", config.as_toml(shown))], environ={})
    assert again == shown
    assert again != Config()


def test_every_reason_is_one_line_that_says_something() -> None:
    for setting in config.SETTINGS.values():
        assert len(setting.why) > 10
        assert "\n" not in setting.why
        assert len(f"# {setting.why}") < 100


def test_reading_settings_brings_nothing_slow_along() -> None:
    """Every command pays for this import; completion does so at each press of the tab key."""
    slow = ["tomllib", "tomli_w", "rich", "jinja2", "sh", "typer", "filelock", "difflib", "json"]
    code = "import sys; from zonemgr import config; config.load([], environ={}); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not set(slow) & set(loaded.stdout.split())


ROOT = Path(__file__).resolve().parent.parent


def test_the_predecessors_variables_are_none_of_ours() -> None:
    environ = {"ZONEMGR_DEBUG": "5", "ZONEMGR_DEBUGLEVEL_RUN": "3", "ZONEMGR_CFG": "/x"}
    assert config.load([], environ=environ).set_by == {}


def test_several_files_may_be_named_and_the_last_wins(tmp_path: Path) -> None:
    for name, text in (
        ("a", "[exec]\nuser = 'jim'\ndiscard = 'off'\n"),
        ("b", "[exec]\ndiscard = 'onfail'\n"),
    ):
        (tmp_path / name).write_text(text)
    found = config.load([], explicit=[tmp_path / "a", tmp_path / "b"], environ={})
    assert (found.exec.user, found.exec.discard) == ("jim", "onfail")
