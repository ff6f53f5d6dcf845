"""Renders a chart as `helm template` does, by Helm's own library.

    render CHART < values.json

The values are those that differ from the chart's. Prints the objects, each with the file it comes from.
"""

import json
import sys

import helm_python as helm


def main() -> int:
    chart, values = sys.argv[1], json.load(sys.stdin)
    faults = helm.lint(chart)["errors"]
    if faults:
        print(faults, file=sys.stderr)
        return 1
    try:
        with helm.Chart.load(chart) as loaded:
            files = loaded.render(values, name="doorward", namespace="doorward")
    except helm.HelmError as error:
        print(error, file=sys.stderr)
        return 1
    for name in sorted(files):
        if files[name].strip():
            print(f"---\n# {name.split('/')[-1]}\n{files[name].strip()}")
    return 0


sys.exit(main())
