#!/usr/bin/env python3
"""Prints what a built Doorward is made of, as CycloneDX 1.6 (`make sbom`).

Whatever is linked into the program on one platform: no dependency of tests, none of the build. Versions and digests
are those of Cargo.lock, so what is printed is what `cargo build --locked` builds.

    deploy/sbom.py [TARGET]     x86_64-unknown-linux-gnu, where none is named
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else "x86_64-unknown-linux-gnu"
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    root = next(id for id, package in packages.items() if package["name"] == "doorward")
    # They run while the program is built, and are not in it.
    macros = {id for id, package in packages.items() if any("proc-macro" in one["kind"] for one in package["targets"])}
    edges = linked(metadata["resolve"]["nodes"], root, macros)
    digests = checksums()
    parts = [component(packages[id], digests) for id in sorted(edges) if id != root]
    whole = component(packages[root], digests) | {"type": "application"}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": whole, "properties": [{"name": "cargo:target", "value": target}]},
        "components": parts,
        "dependencies": [
            {"ref": purl(packages[id]), "dependsOn": sorted(purl(packages[to]) for to in edges[id])}
            for id in sorted(edges)
        ],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


def linked(nodes: list, root: str, macros: set) -> dict:
    """Of each package that is linked in, those that it needs."""
    by_id = {node["id"]: node for node in nodes}
    edges, waiting = {}, [root]
    while waiting:
        id = waiting.pop()
        if id in edges:
            continue
        # A kind of none is an ordinary dependency; the others are "dev" and "build".
        needs = {dep["pkg"] for dep in by_id[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])}
        needs -= macros
        edges[id] = needs
        waiting.extend(needs)
    return edges


def checksums() -> dict:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}


def purl(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict, digests: dict) -> dict:
    digest = digests.get((package["name"], package["version"]))
    licence = (package["license"] or "").replace("/", " OR ")
    return {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        **({"licenses": [{"expression": licence}]} if licence else {}),
        **({"hashes": [{"alg": "SHA-256", "content": digest}]} if digest else {}),
    }


main()
