"""From bytes to a Generation: every file is read, everything that is wrong is told at once."""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields

from earmark.config.document import Document, parse
from earmark.config.policies import (
    Compiler,
    PolicyText,
    claim_problems,
    greylist_problems,
    name_problems,
    threshold_problems,
)
from earmark.config.policy_tests import PolicyTest, tests_of
from earmark.config.problems import ConfigError, Problem, did_you_mean, whole_file
from earmark.config.rules import Rules, compile_rules
from earmark.config.schema import DefaultFile, DomainFile, ServerFile, validate, written
from earmark.config.server import server_settings, socket_problems
from earmark.config.settings import Generation
from earmark.config.weights import weight_problems
from earmark.core.policy import Policy, PolicySet
from earmark.core.zones import Zone

SERVER = "policies/server.toml"
DEFAULT = "policies/default.toml"
DOMAINS = "policies/domains/"
_READ = re.compile(r"(policies|policies/domains|rules)/(?![.#])[^/]*\.toml")
_MISPLACED = re.compile(r"policies/(?!server\.toml|default\.toml)[^/]*")


def is_read(path: str) -> bool:
    """Return whether a file counts: it ends in .toml, and no editor left it behind (.#x.toml, #x.toml#, x.toml~)."""
    return _READ.fullmatch(path) is not None


def generation_id(files: Mapping[str, bytes]) -> str:
    """Return the hexadecimal SHA-256 over names and bytes, each after its length, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def compile_generation(files: Mapping[str, bytes], unreadable: Collection[Problem] = ()) -> Generation:
    """Make a Generation out of bytes alone, so that a stored one can be made again.

    `files` is keyed by path relative to the configuration directory. `unreadable` are files that should have been among
    them. Raises ConfigError with everything that is wrong with all of them.
    """
    documents, problems = _parse(files)
    problems += unreadable
    rules = compile_rules(
        _below(documents, "rules/"), sound=not any(wrong.file.startswith("rules/") for wrong in problems)
    )
    problems += rules.problems
    server, wrong = validate(documents[SERVER], ServerFile) if SERVER in documents else (None, [])
    default, domains, also_wrong = _read_policies(documents, rules)
    problems += wrong + also_wrong
    problems += socket_problems(documents[SERVER], server) if server else ()
    if problems or server is None or default is None:
        raise ConfigError([*problems, *_missing(files, problems)])
    place = documents[SERVER].place(("mode",)) if "mode" in server.model_fields_set else None
    compiler = Compiler(default, rules, server.mode, place)
    policies = {domain: policy for text in domains for policy in [compiler.domain(text)] for domain in text.domains}
    exact = frozenset(domain for domain in policies if not domain.startswith("*."))
    machine = server_settings(documents[SERVER], server, exact)
    policy_set = PolicySet(compiler.default(), policies, machine.site)
    tests = tuple(_tests(default, domains))
    key_files = {zone.name: zone.key_file for zone in rules.zones.values() if zone.key_file}
    zones = _zones_used(policy_set.all)
    return Generation(generation_id(files), dict(files), machine, policy_set, zones, tests, key_files)


def _parse(files: Mapping[str, bytes]) -> tuple[dict[str, Document], list[Problem]]:
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for name in filter(is_read, sorted(files)):
        read = parse(name, files[name])
        if isinstance(read, Problem):
            problems.append(read)
        else:
            documents[name] = read
        if _MISPLACED.fullmatch(name):
            hint = (
                did_you_mean(name.removeprefix("policies/"), ("server.toml", "default.toml"))
                or "; a domain's file belongs in policies/domains/"
            )
            problems.append(whole_file(name, f"nothing reads this file{hint}"))
    return documents, problems


def _missing(files: Mapping[str, bytes], problems: Iterable[Problem]) -> list[Problem]:
    told = {problem.file for problem in problems}
    return [whole_file(name, "missing") for name in (SERVER, DEFAULT) if name not in files and name not in told]


def _below(documents: Mapping[str, Document], folder: str) -> list[Document]:
    return [document for name, document in documents.items() if name.startswith(folder)]


def _read_policies(
    documents: Mapping[str, Document], rules: Rules
) -> tuple[PolicyText | None, list[PolicyText], list[Problem]]:
    """Return default.toml, the domains' files, and all that is wrong with them."""
    default = documents.get(DEFAULT)
    domains = _below(documents, DOMAINS)
    problems = list(claim_problems(domains))
    problems += weight_problems(default, domains, rules) if default else ()
    texts: dict[str, PolicyText] = {}
    for document in [default, *domains] if default else domains:
        table, wrong = validate(document, DefaultFile if document is default else DomainFile)
        problems += [*wrong, *name_problems(document, rules)]
        if default:
            problems += threshold_problems(document, default)
            problems += greylist_problems(document, default)
        if table is not None:
            texts[document.name] = PolicyText(document, written(table))
    return texts.pop(DEFAULT, None), list(texts.values()), problems


def _tests(default: PolicyText, domains: Iterable[PolicyText]) -> Iterator[PolicyTest]:
    usual_mode = default.settings["mode"]
    for text in (default, *domains):
        yield from tests_of(text, text.settings.get("mode", usual_mode))


def _zones_used(policies: tuple[Policy, ...]) -> dict[str, Zone]:
    """Return every zone that stands in a knob of some policy. Knobs are shared, so each is looked at once."""
    knobs = {id(value): value for policy in policies for value in policy.knobs.values()}.values()
    lists = (getattr(value, field.name) for value in knobs for field in fields(value))
    entries = (entry for values in lists if isinstance(values, tuple) for entry in values)
    return {entry.name: entry for entry in entries if isinstance(entry, Zone)}
