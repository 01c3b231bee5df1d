"""What pkg's texts say: why it refused, and which repositories did not answer.

pkg ends most refusals with boilerplate (`Re-run the operation with the -v option …`), and on OmniOS even what
incorporations, excludes, freezes and missing dependencies forbid is exit 1; the cause is in its text alone
(pkg5, modules/client/api_errors.py, PlanCreationException, and modules/client/pkg_solver.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 400  # characters of a reason; the whole text is in the log
SHOWN = 3  # packages, causes or repositories that are named one by one

# `update` of a whole image refuses, in so many words on standard output, while the pkg that runs could itself be
# updated (pkg5, client/api.py and client/image.py). That is the host's for a root below it.
OUTDATED = re.compile(r"pkg\([57]\) appears to be out of date")
# set-publisher says so with exit 1, and so does `install -n`, which goes as far as it can without the lock; all others
# with exit 7 (pkg5, client.py, publisher_set; client/image.py, __start_state_update).
IN_USE = re.compile(
    r"currently in use by another package client|/state/state_updating\s+because of insufficient"
)
# exit 0, and the change is in a boot environment that nobody will boot (client/api.py, __finished).
NOT_ACTIVATED = re.compile(r"unable to activate (\S+)")
NO_SUCH = re.compile(r"[Nn]o packages")

# Sentences that tell neither package nor cause; the blanks in them may be line breaks.
_BOILERPLATE = [
    re.compile(re.sub(" ", r"\\s+", text))
    for text in (
        r"Re-run the operation with the -v option to see all of the rejected packages and detailed reasons\.",
        r"The above led to the rejection of [^.]*\.",
        r"Please try the operation again as a privileged user\.",
        r"Please try the command again as a privileged user\.",
        r"Please provide one of the package FMRIs listed above to the \S+ command\.",
        r"Any non-conflicting subset of the above packages can be installed\.",
        r"Please verify the repository's location and the client's network configuration\.",
        r"Additional details:",
        r"This is either because the repository location is not valid, or because the provided publisher does not "
        r"match those known by the repository\.",
        r"For a full list of subcommands, run: pkg help",
        r"'pkg publisher' will show a list of publishers\.",
        r"Try using a different matching pattern, or refreshing publisher information:",
        r"Try querying remotely instead:",
        r"Try specifying -r to query remotely:",
        r"Try relaxing the patterns, refreshing, and/or examining the catalogs:",
        r"Use -af to allow all versions\.",
        r"Errors were encountered while attempting to retrieve package or file data for the requested operation\.",
        r"Details follow:",
        r"maintained incorporations: None",
        r"Dependency analysis is unable to determine exact cause\.",
        r"Try running with -vvv to obtain more detailed error messages\.",
        r"Unable to contact valid package repository\n",
        r"Encountered the following error\(s\):",
        r"Transport errors encountered when trying to contact repository\.",
        r"Reported the following errors:",
        r"To indicate that you agree to and accept the terms [^\0]*",
        r"\nUsage:[^\0]*",
        r"-{20,}",
    )
]
_PREFIX = re.compile(r"^ *pkg(?: [a-z-]+)?:(?!/)(?: (?:info|contents|change-\w+):)? ?", re.MULTILINE)


def reason(stdout: str, stderr: str) -> str:
    """Why pkg refused, in one line: packages, publishers and files by name, and the cause; empty for no reason."""
    if OUTDATED.search(stdout):
        return "pkg itself is out of date"  # package/pkg
    for found in (
        _not_reached(stderr),
        _unmatched(stderr),
        _ambiguous(stderr),
        _licences(stderr),
        _constraints(stderr),
        _plain(stderr),
    ):
        if found:
            return _short(found)
    errors = [line.strip() for line in stdout.splitlines() if "ERROR" in line]  # of verify
    return _short(errors[-1]) if errors else ""


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _plain(stderr: str) -> str:
    text = _PREFIX.sub("", stderr)
    for sentence in _BOILERPLATE:
        text = sentence.sub("\n", text)
    return " ".join(text.split())


def _some(words: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"{between.join(words[:SHOWN])}{more}"


# -- names ---------------------------------------------------------------------------------------------------


_UNMATCHED = (
    (r"did not match any allowable packages", "no package matches"),
    (r"only matched packages rejected by user request", "only rejected packages match"),
    (r"only matched packages that are not available", "for another architecture or kind of zone:"),
    (r"from publishers other than that which", "what is installed is from another publisher:"),
)


def _unmatched(stderr: str) -> str:
    """The lists of patterns, each indented by a tab below its sentence."""
    told = []
    for sentence, words in _UNMATCHED:
        found = re.search(rf"{sentence}[^\t]*((?:\n*\t.+)+)", stderr)
        if found:
            told.append(f"{words} {_some([line.strip() for line in found[1].splitlines() if line.strip()])}")
    return "; ".join(told)


def _ambiguous(stderr: str) -> str:
    """A name that several packages end with, and how each is named exactly: `pkg:/network/ssh`."""
    told = []
    for found in re.finditer(r"'([^']+)' matches multiple packages((?:\n\t.+)+)", stderr):
        told.append(f"{found[1]} may be any of {_some(exactly(found[2]))}")
    return "; ".join(told)


def exactly(fmris: str) -> list[str]:
    """The one spelling of each package that pkg takes for no other (pkg5, client/imageplan.py, match_user_stems)."""
    stems = [re.sub(r"^pkg://[^/]+/|^pkg:/", "", word).partition("@")[0] for word in fmris.split()]
    names = [f"pkg:/{stem}" for stem in sorted(set(stems))]
    # One package of two publishers: only its publisher tells them apart.
    return names if len(names) > 1 else sorted(word.partition("@")[0] for word in fmris.split())


# -- what forbids it -----------------------------------------------------------------------------------------


def _licences(stderr: str) -> str:
    if "require their licenses to be accepted" not in stderr:
        return ""
    names = [fmri.partition(",")[0] for fmri in re.findall(r"^Package: (\S+)", stderr, re.MULTILINE)]
    licences = re.findall(r"^License: (\S+)", stderr, re.MULTILINE)
    return f"the licence {_some(licences)} of {_some(names)} must be accepted"


_HEAD = re.compile(
    r"No matching version of (?P<one>\S+) can be installed"
    r"|proposed packages can be installed:(?P<many>(?:\n\t\S+)+)"
    r"|must be uninstalled or upgraded\nif the requested operation is to be performed:(?P<gone>(?:\n\t\S+)+)"
)
_CAUSE = re.compile(
    r"^ *(?:Reject|Package): +(?P<fmri>\S+)(?:\n +pkg:\S+)*\s*\n *Reason: +(?P<why>.+(?:\n {11,}(?!pkg:|\().+)*)",
    re.MULTILINE,
)


def _constraints(stderr: str) -> str:
    """What the solver rejected, and why: `Reject:` or `Package:` with `Reason:` below."""
    causes = [
        f"{found['fmri']}: {' '.join(found['why'].split())}"
        for found in _CAUSE.finditer(stderr)
        if "[already rejected" not in found["why"]
    ]
    if not causes:
        return ""
    return _short(_head(stderr)) + _some(list(dict.fromkeys(causes)), "; ")


def _head(stderr: str) -> str:
    told = []
    for found in _HEAD.finditer(stderr):
        if found["gone"]:
            told.append(f"{_some(found['gone'].split())} must be removed or updated first")
        else:
            told.append(f"{found['one'] or _some(found['many'].split())} cannot be installed")
    return f"{', '.join(told[:SHOWN])}: " if told else ""


# -- repositories --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Silent:
    """A publisher some of whose repositories did not answer; `dead`: none of them did, as far as is known."""

    publisher: str
    why: str
    dead: bool = True

    def __str__(self) -> str:
        which = "no repository" if self.dead else "a repository"
        verb = "answers" if self.dead else "does not answer"
        return f"{which} of publisher {self.publisher} {verb}: {self.why}"


_SILENT = re.compile(
    r"contact (?:(?P<some>\d+) of (?P<all>\d+) repositories|repository) for publisher '(?P<name>[^']+)'"
    r"|(?P<out>\d+)/(?P<of>\d+) repositories for publisher '(?P<of_name>[^']+)' could not be re(?:ached|freshed)"
)


def silent(text: str) -> tuple[Silent, ...]:
    """The publishers that did not answer, in the output of a command that refreshes catalogues.

    `refresh` has it on standard error with exit 1 or 3; install and update after `WARNING:` on standard output, with
    exit 0 or 4 (pkg5, client.py, __display_catalog_failures; api_errors.py, CatalogRefreshException).
    """
    heads = list(_SILENT.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
    return tuple(
        Silent(
            head["name"] or head["of_name"],
            _repository(text[head.end() : end]),
            (head["some"] or head["out"]) == (head["all"] or head["of"]),
        )
        for head, end in zip(heads, ends, strict=True)
    )


def _repository(text: str) -> str:
    """Address and trouble of the first repository in a list of failures."""
    where = re.search(r"package repository: (\S+)", text) or re.search(r"URL: '([^']+)'", text)
    cause = re.search(r"reason: (.+)", text) or re.search(r"\n +(\S.+)", text)
    told = [found[1].strip() for found in (where, cause) if found]
    return ": ".join(told) or "it gave no reason"


def _not_reached(stderr: str) -> str:
    found = silent(stderr)
    if found:
        return _some([str(one) for one in found], "; ")
    if not re.search(r"do not appear to point to a valid|(?:Framework|protocol) error: code:", stderr):
        return ""
    publisher = re.search(r"origin URIs for '([^']+)'", stderr)
    whose = f"the repository of publisher {publisher[1]}" if publisher else "the repository"
    return f"{whose} does not answer: {_repository(stderr)}"


# -- what to do about it -----------------------------------------------------------------------------------------


PRIVILEGE_HINT = "this needs the profile Software Installation; see: profiles"
LOCKED_HINT = "another pkg works on this image; try again when it has ended"
SILENT_HINT = "see that the repository answers: pkg list -g URI; and look at: pkg publisher"
# What pkg's text says to do next, where its exit status says little.
HINTS: tuple[tuple[str | re.Pattern[str], str], ...] = (
    (IN_USE, LOCKED_HINT),
    (r"unable to activate", "the zone goes on without the change; stop it first: zonemgr stop -z ZONE"),
    (r"[Pp]ermission|privilege", PRIVILEGE_HINT),
    (r"matches multiple packages", "give the exact name: -p 'pkg:/NAME'"),
    (
        r"did not match any allowable|[Ii]llegal (?:fmri|FMRI)",
        "look for the right name: pkg list -af 'PATTERN'; newer catalogues: zonemgr pkg-refresh -z ZONE",
    ),
    (r"only matched packages that are not available", "it is not made for zones, or not for this machine"),
    (r"matches no installed", "see what is there: pkg list, in the zone"),
    (
        r"due to the following packages that depend",
        "remove those, too: -P 'PACKAGE ITS-DEPENDENTS'",
    ),
    (r"a freeze on", "release it in the zone: pkg unfreeze PACKAGE"),
    (
        r"excluded by .*incorporation|incorporate' dep",
        "name a version that the incorporation allows, or none",
    ),
    (r"'exclude' dependency", "they exclude each other: remove the other one first, -P PACKAGE"),
    (
        r"dependency .*(can be found|can be installed)|are obsolete",
        "the repositories do not have what it needs; see: pkg publisher, and: pkg list -af PACKAGE",
    ),
    (r"all deliver", "leave one of them out"),
    (r"unsupported scheme|already exists for|[Uu]nknown (publisher|repository)", "see: pkg publisher"),
    (r"does not contain package data for|for this publisher", "see what it has: pkgrepo info -s URI"),
    (
        r"[Nn]o solution was found",
        "what is in the way can be removed first: -P PACKAGE; a linked zone also follows the host's versions",
    ),
    (r"[Uu]nable to contact|(Framework|protocol) error|do not appear to point to a valid", SILENT_HINT),
    (
        r"[Ll]inked image|superset|different publishers|parent image",
        "a linked zone needs the host's publishers first, in their order; see: pkg publisher, on both",
    ),
    (
        r"[Nn]o space|[Ii]nsufficient (disk )?space",
        "see: zfs list -o space; a quota is changed with: zonemgr modify",
    ),
    (r"No image rooted|Cannot parse configuration", "it is no package image; see: zonemgr get-state -z ZONE"),
)


def hint(stderr: str) -> str | None:
    """The next thing to try, by the text alone."""
    return next((told for pattern, told in HINTS if re.search(pattern, stderr)), None)


def within(stderr: str) -> str:
    """What a pkg said that another program ran, such as a brand's script; empty if none did."""
    found = re.search(r"^pkg(?: [a-z-]+)?: ", stderr, re.MULTILINE)
    return stderr[found.start() :] if found else ""
