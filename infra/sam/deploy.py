"""Builds and deploys a stack of samconfig.toml. `make deploy ENV=prod` ends here.

    python3 infra/sam/deploy.py ENV [Parameter=value ...] [--flag-of-sam-deploy ...]

SAM publishes a new version of a function when its code changes, and the alias
that callers reach moves to it. A changed parameter makes none, so it would not
reach them. The parameter Revision makes one of every function. This names it
after all that is deployed, what was built and the parameters, so that nobody
has to think of it and deploying the same again changes nothing.

Parameters given to `sam deploy` replace the list of samconfig.toml as a whole,
so the two are joined here; those of the command line win. Their values are
passed on as they are written: with the quotes that SAM wants around spaces.

Needs Python 3.11, for tomllib, and the SAM CLI (or what SAM names).
"""

import hashlib
import os
import pathlib
import shlex
import subprocess
import sys

BUILD = pathlib.Path(".aws-sam/build")


def parameters(env, given):
    """The parameters of an environment, Name=value each, and those given."""
    import tomllib

    with open("samconfig.toml", "rb") as file:
        config = tomllib.load(file)
    try:
        listed = config[env]["deploy"]["parameters"].get("parameter_overrides", [])
    except KeyError:
        raise SystemExit(f"samconfig.toml has no [{env}.deploy.parameters]; it has {', '.join(sorted(config.keys() - {'version'}))}")
    if isinstance(listed, str):
        listed = shlex.split(listed)
    named = {}
    for item in [*listed, *given]:
        name, equals, _ = item.partition("=")
        if not equals or not name.isalnum():
            raise SystemExit(f"{item!r} is not Parameter=value")
        named[name] = item
    return named


def revision(named):
    """Names what was built together with the parameters, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(p for p in BUILD.rglob("*") if p.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(BUILD).as_posix()} {content}\n".encode())
    for _, item in sorted(named.items()):
        digest.update(f"{item}\n".encode())
    return digest.hexdigest()[:20]


def sam(*args):
    status = subprocess.run([*shlex.split(os.environ.get("SAM") or "sam"), *args]).returncode
    if status != 0:
        raise SystemExit(status)


def main(env, *rest):
    flags = [a for a in rest if a.startswith("-")]
    named = parameters(env, [a for a in rest if not a.startswith("-")])
    overrides = [item for name, item in named.items() if name != "Revision"]
    # The template chooses the build of the architecture by its parameter.
    sam("build", "--config-env", env, *(["--parameter-overrides", *overrides] if overrides else []))
    named.setdefault("Revision", f"Revision={revision(named)}")
    print(named["Revision"], flush=True)
    sam("deploy", "--config-env", env, *flags, "--parameter-overrides", *overrides, named["Revision"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("say which environment of samconfig.toml: make deploy ENV=dev")
    main(*sys.argv[1:])
