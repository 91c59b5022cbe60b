"""The locks on machines that are not here: each package has a wheel for each platform and
each Python that is allowed, so that nothing is compiled and nothing is fetched elsewhere."""

import subprocess
import tomllib
from functools import cache
from urllib.parse import unquote

import pytest
from packaging import tags
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

from lab import ROOT

# name: what markers ask, and the wheels that it takes, as PEP 508 and PEP 425 have them
PLATFORMS = {
    "Linux x86-64": (
        {"sys_platform": "linux", "platform_machine": "x86_64"},
        [f"manylinux_2_{minor}_x86_64" for minor in range(5, 37)]
        + [f"manylinux{year}_x86_64" for year in (1, 2010, 2014)],
    ),
    "Linux arm64": (
        {"sys_platform": "linux", "platform_machine": "aarch64"},
        [f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)]
        + ["manylinux2014_aarch64"],
    ),
    "macOS arm64": (
        {"sys_platform": "darwin", "platform_machine": "arm64"},
        list(tags.mac_platforms((14, 0), "arm64")),
    ),
    "Windows": ({"sys_platform": "win32", "platform_machine": "AMD64"}, ["win_amd64"]),
}
SYSTEM = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
# what `make serve`, Binder and `make test` install, besides the project itself
GROUPS = ("site", "binder", "dev")
# sources that build anywhere, since they are Python alone
PURE = {"sslyze": "a command line over nassl, which does have wheels"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ALLOWED = SpecifierSet(PROJECT["requires-python"])
PYTHONS = [f"3.{minor}" for minor in range(8, 30) if f"3.{minor}.0" in ALLOWED]


@cache
def locked() -> dict[tuple[str, str], list[str]]:
    """The wheels of each package and version, by file name."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    return {
        (canonicalize_name(one["name"]), one["version"]): [
            unquote(wheel["url"].rsplit("/", 1)[1]) for wheel in one.get("wheels", [])
        ]
        for one in packages
        if "version" in one
    }


@pytest.fixture(scope="module")
def wanted(uv) -> dict[str, list[Requirement]]:
    """What each group installs, with the markers that say where."""

    def export(group: str) -> list[Requirement]:
        done = subprocess.run(
            [
                uv, "export", "--frozen", "--offline", "--no-default-groups",
                "--group", group, "--no-emit-project", "--no-annotate", "--no-hashes",
                "--no-header",
            ],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [Requirement(line) for line in done.stdout.splitlines() if line.strip()]

    return {group: export(group) for group in GROUPS}


def missing(requirements, wheels, platform: str, python: str) -> list[str]:
    """The packages that this machine would have to build, as `name version`."""
    asked, platforms = PLATFORMS[platform]
    minor = int(python.split(".")[1])
    fits = {
        *tags.cpython_tags((3, minor), platforms=platforms),
        *tags.compatible_tags((3, minor), f"cp3{minor}", platforms),
    }
    environment = {
        **asked,
        "platform_system": SYSTEM[asked["sys_platform"]],
        "os_name": "nt" if platform == "Windows" else "posix",
        "python_version": python,
        "python_full_version": f"{python}.0",  # the oldest wants most
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    found = []
    for one in requirements:
        if one.marker and not one.marker.evaluate(environment):
            continue
        version = next(iter(one.specifier)).version
        files = wheels[canonicalize_name(one.name), version]
        if not any(parse_wheel_filename(file)[3] & fits for file in files):
            found.append(f"{one.name} {version}")
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("group", GROUPS)
def test_every_package_has_a_wheel(wanted, group, platform, python):
    without = missing(wanted[group], locked(), platform, python)
    without = [name for name in without if name.split()[0] not in PURE]
    assert not without, (
        f"{', '.join(without)}: no wheel for {platform} with Python {python} — pin a "
        "version that has one, or say with a marker where it is installed"
    )


def test_what_may_be_built_is_in_the_lock_and_has_no_wheel():
    names = {name for (name, _), wheels in locked().items() if not wheels}
    assert set(PURE) <= names


def test_debian_12_and_13_and_the_newest_are_allowed():
    assert {"3.11.2", "3.13.5", "3.15.0"} <= set(
        ALLOWED.filter(["3.10.19", "3.11.2", "3.13.5", "3.15.0", "3.16.0"])
    )
    assert "3.10.19" not in ALLOWED and PYTHONS[0] == "3.11"


def test_a_missing_wheel_is_found():
    here, there = Requirement("a==1"), Requirement("b==1; sys_platform == 'win32'")
    wheels = {
        ("a", "1"): ["a-1-cp311-cp311-manylinux_2_17_x86_64.whl"],
        ("b", "1"): [],
    }
    assert missing([here, there], wheels, "Linux x86-64", "3.11") == []
    assert missing([here, there], wheels, "Linux x86-64", "3.13") == ["a 1"]
    assert missing([here, there], wheels, "Linux arm64", "3.11") == ["a 1"]
    assert missing([here, there], wheels, "Windows", "3.11") == ["a 1", "b 1"]
