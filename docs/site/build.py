"""Build the documentation site in out/docs: ``make docs``.

The documents keep their places relative to each other, so that a link works on the site as in the repository. Pages of
the API are made from API below and the docstrings. Any broken link ends the build.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / "out" / "docs-source"
SITE = ROOT / "out" / "docs"

TESTING = ("simulate", "Simulation", "MemoryNode", "Link", "HostLine", "MemoryNetwork", "run_virtual", "Deadlock")
API: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "opening": (
        "Opening a node",
        "Three ways to the same [methods](methods.md). What `cidery.open` gives has them as blocking ones, and plain "
        "iterators where these are asynchronous.",
        ("cidery.open", "cidery.Node", "cidery.Client", "cidery.node.open.SyncNode"),
    ),
    "methods": (
        "Methods",
        "What `Node`, `Client` and `cidery.open` can do themselves. The rest is in groups.",
        ("cidery.methods.surface.Surface",),
    ),
    "pin": ("node.pin", "", ("cidery.methods.pin.Pin",)),
    "files": ("node.files", "", ("cidery.methods.files.Files",)),
    "name": ("node.name", "", ("cidery.methods.name.Name",)),
    "key": ("node.key", "", ("cidery.methods.key.Key",)),
    "dag": (
        "node.dag, node.block, node.car",
        "",
        ("cidery.methods.dag.Dag", "cidery.methods.dag.Block", "cidery.methods.dag.Car"),
    ),
    "pubsub": ("node.pubsub", "", ("cidery.methods.pubsub.Pubsub",)),
    "swarm": ("node.swarm, node.routing", "", ("cidery.methods.swarm.Swarm", "cidery.methods.swarm.Routing")),
    "repo": (
        "node.repo, node.config, node.bootstrap, node.jobs, node.stats",
        "",
        tuple(f"cidery.methods.repo.{name}" for name in ("Repo", "Config", "Bootstrap", "Jobs", "Stats")),
    ),
    "results": (
        "Results",
        "",
        (
            "cidery.methods.results",
            "cidery.core.reading.ls.LsEntry",
            "cidery.repo.jobs.Job",
            "cidery.core.diagnosis.text.Report",
        ),
    ),
    "errors": (
        "Errors",
        "Each error has one of these categories, and stands in the module that raises it.",
        ("cidery.errors",),
    ),
    "content": (
        "Content without a node",
        "None of this needs a repository, a network or an event loop.",
        ("cidery.CID", "cidery.cid_of", "cidery.verify", "cidery.content.verifying", "cidery.car"),
    ),
    "testing": (
        "cidery.testing",
        "Networks of whole nodes in memory. The guide is [here](../docs/testing.md).",
        tuple(f"cidery.testing.{name}" for name in TESTING),
    ),
}
"""Name of a page: its title, its first sentence, what it documents."""
WITH_ARGUMENTS = ("opening", "content", "testing")
"""Pages with classes that programs make themselves; of the others the arguments are nobody's concern."""
GROUP = "\n    options:\n      merge_init_into_class: false"

LINK = re.compile(r"(\]\(|href=\"|src=\"|srcset=\")([^)\"#\s]+)")


def documents() -> list[Path]:
    """The Markdown files of the site, relative to the root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def stage() -> None:
    """Copy the documents and what they link to, and write the pages of the API and the configuration."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for document in documents():
        text = (ROOT / document).read_text()
        for link in LINK.findall(text):
            _copy_linked(document, link[1])
        target = STAGE / "pages" / _on_site(document)
        target.parent.mkdir(parents=True, exist_ok=True)
        renamed = re.sub(r"(?<!examples/)\bREADME\.md", "index.md", text)  # the first page
        target.write_text(text if document.parts[0] == "examples" else renamed)
    _write_api()
    _write_commands()
    config = (ROOT / "docs" / "site" / "zensical.toml").read_text()
    api = "\n".join(f'        {{ "{title}" = "api/{name}.md" }},' for name, (title, _, _) in API.items())
    designs = (document for document in documents() if document.parts[:2] == ("docs", "design"))
    design = "\n".join(f'        "{document.as_posix()}",' for document in designs)
    config = config.replace("# API", api).replace("# DESIGN", design).replace("SOURCE", str(ROOT / "src"))
    (STAGE / "zensical.toml").write_text(config)
    shutil.copy(ROOT / "docs" / "site" / "raises.py", STAGE)


def _on_site(document: Path) -> Path:
    return Path("index.md") if document == Path("README.md") else document


def _copy_linked(document: Path, link: str) -> None:
    if "://" in link or link.endswith(".md"):
        return
    source = (ROOT / document.parent / link).resolve()
    if source.is_file() and source.is_relative_to(ROOT):
        target = STAGE / "pages" / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _write_api() -> None:
    folder = STAGE / "pages" / "api"
    folder.mkdir(parents=True)
    for name, (title, first, objects) in API.items():
        options = "" if name in WITH_ARGUMENTS else GROUP
        parts = [f"# {title}", *([first] if first else []), *(f"::: {path}{options}" for path in objects)]
        (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n")


def _write_commands() -> None:
    """Every command with its help, and the description of the RPC, from the definitions."""
    from cidery.commands.help import command_help
    from cidery.commands.openapi import describe
    from cidery.commands.registry import all_commands

    parts = ["# All commands", "As `cidery COMMAND --help` prints them."]
    for command in sorted(all_commands(), key=lambda command: command.path):
        parts += [f"## {' '.join(command.path)}", f"```text\n{command_help(command)}\n```"]
    (STAGE / "pages" / "api" / "commands.md").write_text("\n\n".join(parts) + "\n")
    (STAGE / "pages" / "api" / "openapi.json").write_text(json.dumps(describe(), indent=1))


def main() -> None:
    """Build; exit with 1 if a link is broken or a page would load something from another host."""
    stage()
    done = subprocess.run([Path(sys.executable).parent / "zensical", "build", "--strict", "--clean"], cwd=STAGE)
    if done.returncode:
        sys.exit(done.returncode)
    shutil.rmtree(SITE, ignore_errors=True)
    (STAGE / "site").rename(SITE)
    foreign = foreign_loads(SITE)
    if foreign:
        sys.exit("these pages load something from another host: " + ", ".join(foreign))
    print(f"{SITE.relative_to(ROOT)}/index.html: {len(list(SITE.rglob('*.html')))} pages")


LOADED = re.compile(
    r"<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc(?:set)?=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preconnect|preload|icon))[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|@import\s+(?:url\()?[\"']?(?:https?:)?//|url\([\"']?(?:https?:)?//"
)


def foreign_loads(site: Path) -> list[str]:
    """Pages and style sheets of a site that make a browser ask another host."""
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".svg")]
    return [str(path.relative_to(site)) for path in files if LOADED.search(path.read_text())]


if __name__ == "__main__":
    main()
