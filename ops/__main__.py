"""`python -m ops` makes the rules and dashboards from objectives.toml; with --check it only says what is not fresh."""

import argparse
import sys

from ops.dashboards import dashboards
from ops.objectives import HERE, WrongObjectives, read
from ops.rules import rule_files


def main() -> int:
    """Returns 0 when every file is, or was made, what objectives.toml says."""
    parser = argparse.ArgumentParser(prog="python -m ops", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when a file is not fresh")
    options = parser.parse_args()
    try:
        chosen = read()
    except WrongObjectives as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 1
    made = {HERE / "prometheus/rules" / name: text for name, text in rule_files(chosen).items()}
    made |= {HERE / "grafana" / name: text for name, text in dashboards(chosen).items()}
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'not fresh' if options.check else 'made'}: {path.relative_to(HERE.parent)}")
        if not options.check:
            path.write_text(made[path], encoding="utf-8")
    return 1 if options.check and stale else 0


sys.exit(main())
