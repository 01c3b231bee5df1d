"""pkg publisher, set-publisher, unset-publisher."""

from __future__ import annotations

import posixpath
import re
import time
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from zonemgr.lab.pkg.command import OK, OOPS, PARTIAL, Run, usage
from zonemgr.lab.pkg.image import Image, Publisher
from zonemgr.lab.pkg.plan import PkgError

TAB_FIELDS = ("PUBLISHER", "STICKY", "SYSPUB", "ENABLED", "TYPE", "STATUS", "URI", "PROXY")
SET_LONG = {
    "add-origin=": "g", "remove-origin=": "G", "add-mirror=": "m", "remove-mirror=": "M", "disable": "d",
    "enable": "e", "search-first": "P", "search-before=": "before", "search-after=": "after", "sticky": "sticky",
    "non-sticky": "non-sticky", "no-refresh": "no-refresh", "origin-uri=": "O", "reset-uuid": "refused",
    **{f"{name}=": "refused" for name in ("proxy", "approve-ca-cert", "revoke-ca-cert", "unset-ca-cert",
       "set-property", "add-property-value", "remove-property-value", "unset-property")},
}  # fmt: skip


def absolute(run: Run, uri: str) -> str:
    """As pkg writes an origin down: a path becomes a file URI, and all end in a slash."""
    if urlsplit(uri).scheme or not uri:
        return _slashed(uri) if uri else uri
    return _slashed(f"file://{posixpath.normpath(posixpath.join(run.call.cwd, uri))}")


def check_origin(image: Image, publisher: str, uri: str) -> None:
    """Is there a repository, and has it packages of this publisher (empty: any)? Raises PkgError."""
    scheme = urlsplit(uri).scheme
    if scheme not in ("http", "https", "file"):
        raise PkgError(
            f"The URI '{uri}' uses the unsupported scheme '{scheme}'.  "
            "Supported schemes are file://, http://, and https://."
            if scheme
            else f"'{uri}' is not a valid URI."
        )
    source = image.shelves.served(uri)
    if source is None:
        raise PkgError(_no_repository(image, publisher, uri))
    if not publisher:
        return
    if not source.publishers:
        raise PkgError(
            f"One of the package repository origins for {publisher} does not provide publisher configuration "
            "information or the information provided is incomplete."
        )
    if publisher not in source.publishers:
        raise PkgError(_other_publishers(uri, publisher, source.publishers))


def _other_publishers(uri: str, publisher: str, there: Sequence[str]) -> str:
    return (
        f"The repository at {uri} does not contain package data for {publisher}; only {', '.join(there)}.\n\n"
        "This is either because the repository location is not valid, or because the provided publisher does "
        "not match those known by the repository."
    )


def _no_repository(image: Image, publisher: str, uri: str) -> str:
    if not publisher:
        return unretrievable(image, uri)
    return (
        f"The origin URIs for '{publisher}' do not appear to point to a valid pkg repository.\n"
        "Please verify the repository's location and the client's network configuration.\n"
        "Additional details:\n\nUnable to contact valid package repository\n"
        "Encountered the following error(s):\nTransport errors encountered when trying to contact repository.\n"
        f"Reported the following errors:\n{trouble(image, uri)}"
    )


def trouble(image: Image, uri: str, *, asked: str = "") -> str:
    """What the transport says of an origin that does not answer; `asked`: the request below it that failed."""
    place, bare = urlsplit(uri), uri.rstrip("/")
    host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    if place.scheme == "file":
        path = place.path.rstrip("/") or "/"
        return (
            f"file protocol error: code: E_HTTP_NOT_FOUND (22) reason: The path '{path}' does not contain a valid "
            f"package repository.\nRepository URL: '{bare}'."
        )
    if image.shelves.ever_served(uri) is None and host not in ("localhost", "127.0.0.1"):
        reason = f"E_COULDNT_RESOLVE_HOST (6) reason: Could not resolve host: {host}"
    else:
        words = f"Failed to connect to {host}:{port} after 0 ms: Could not connect to server"
        reason = f"E_COULDNT_CONNECT (7) reason: {words}"
    return f"Framework error: code: {reason}\nURL: '{bare}{asked}'"


def indented(image: Image, uri: str, *, asked: str = "") -> str:
    """The same as an item of a list: what has a URL is set off by two blanks, what is about a file is as well."""
    return f"  {trouble(image, uri, asked=asked)}"


def unreachable(image: Image, uri: str) -> str:
    """Of a catalogue that could not be fetched."""
    return (
        f"Unable to contact valid package repository: {_slashed(uri)}\n"
        f"Encountered the following error(s):\n{indented(image, uri)}"
    )


def unretrievable(image: Image, uri: str) -> str:
    """Of a package that could not be fetched."""
    is_file = urlsplit(uri).scheme == "file"
    said = trouble(image, uri) if is_file else indented(image, uri, asked="/versions/0/")
    return (
        "\nErrors were encountered while attempting to retrieve package or file data for\n"
        f"the requested operation.\nDetails follow:\n\n{said}"
    )


def warning(image: Image, silent: dict[str, list[str]]) -> str:
    """What `install` and `update` print, on standard output, when a repository did not answer and they went on."""
    text = (
        "\n\nWARNING: Errors were encountered when attempting to retrieve package\n"
        "catalog information. Packages added to the affected publisher repositories since\n"
        "the last retrieval may not be available.\n\n"
    )
    for name, uris in silent.items():
        total = len(_origins(image, name))
        what = "repository" if total == 1 else f"{len(uris)} of {total} repositories"
        text += f"Errors were encountered when attempting to contact {what} for publisher '{name}'.\n"
        text += "".join(f"\n{unreachable(image, uri)}" for uri in uris) + "\n"
    return f"{text}\n"


def not_refreshed(image: Image, silent: dict[str, list[str]], tried: int) -> PkgError:
    """Some catalogues could not be fetched: by publisher, the origins that did not answer."""
    done = tried - len(silent)
    partial = sum(len(uris) < len(_origins(image, name)) for name, uris in silent.items())
    text = f"pkg: {done}/{tried} catalogs successfully updated{f' ({partial} partial)' if partial else ''}:\n"
    for name, uris in silent.items():
        share = f"{len(uris)}/{len(_origins(image, name))}"
        text += f"\n{share} repositories for publisher '{name}' could not be reached for catalog refresh.\n"
        text += "".join(f"\n{unreachable(image, uri)}" for uri in uris) + "\n"
    return PkgError(text, PARTIAL if done + partial else OOPS)


def _origins(image: Image, name: str) -> list[str]:
    publisher = image.publisher(name)
    return publisher.origins if publisher else []


# -- publisher -----------------------------------------------------------------------------------------------


def show(run: Run, words: Sequence[str]) -> int:
    given, names = run.options(words, "HPnF:", {})
    form = given.get("F", ["default"])[-1]
    if form not in ("default", "tsv"):
        raise usage(run, f"Unrecognized format {form}.  Supported formats: default tsv")
    image = run.image()
    if names:
        return _details(run, image, names)
    shown = image.publishers[:1] if "P" in given else image.publishers
    shown = [each for each in shown if each.enabled or "n" not in given]
    head = TAB_FIELDS if form == "tsv" else ("PUBLISHER", "", "TYPE", "STATUS", "P", "LOCATION")
    rows: list[tuple[str, ...]] = [] if "H" in given else [head]
    for publisher in shown:
        rows += _tab_rows(publisher) if form == "tsv" else _rows(publisher)
    for row in rows:
        run.call.out("\t".join(row) + "\n" if form == "tsv" else _aligned(row))
    return OK


def _aligned(row: Sequence[str]) -> str:
    return f"{row[0]:14} {row[1]:12} {row[2]:8} {row[3]:2} {row[4]} {row[5]}".rstrip() + "\n"


def _places(publisher: Publisher) -> list[tuple[str, str, str]]:
    """Kind, status and URI of each place; one without anything when there is none."""
    found = [
        ("origin", "disabled" if uri in publisher.disabled else "online", uri) for uri in publisher.origins
    ]
    found += [("mirror", "online", uri) for uri in publisher.mirrors]
    return found or [("", "", "")]


def _tab_rows(publisher: Publisher) -> list[tuple[str, ...]]:
    """ENABLED is said of the origin; of the publisher only where it has none."""
    rows: list[tuple[str, ...]] = []
    for kind, status, uri in _places(publisher):
        enabled = status == "online" if uri else publisher.enabled
        flags = (str(publisher.sticky).lower(), "false", str(enabled).lower())
        rows.append((publisher.name, *flags, kind, status, uri, "-" if uri else ""))
    return rows


def _rows(publisher: Publisher) -> list[tuple[str, ...]]:
    attributes = [] if publisher.sticky else ["non-sticky"]
    attributes += [] if publisher.enabled else ["disabled"]
    text = f"({', '.join(attributes)})" if attributes else ""
    return [
        (publisher.name, text, kind, status, "F" if uri else "", uri)
        for kind, status, uri in _places(publisher)
    ]


def _details(run: Run, image: Image, names: Sequence[str]) -> int:
    unknown = [name for name in names if image.publisher(name) is None]
    if unknown:
        raise PkgError("\n".join(f"pkg: Unknown publisher '{name}'." for name in unknown))
    for name in names:
        publisher = image.publisher(name)
        assert publisher is not None
        run.call.out(
            "".join(f"{label:>21}: {value}\n" if label else "\n" for label, value in _about(publisher))
        )
    return OK


def _about(publisher: Publisher) -> list[tuple[str, str]]:
    rows = [("", ""), ("Publisher", publisher.name), ("Alias", "")]
    for uri in publisher.origins:
        status = "Disabled" if uri in publisher.disabled else "Online"
        rows += [("Origin URI", uri), ("Origin Status", status), ("SSL Key", "None"), ("SSL Cert", "None")]
    for uri in publisher.mirrors:
        rows += [("Mirror URI", uri), ("Mirror Status", "Online"), ("SSL Key", "None"), ("SSL Cert", "None")]
    fetched = time.strftime("%a %b %e %T %Y", time.gmtime(publisher.fetched))
    return [
        *rows,
        ("Client UUID", publisher.uuid or str(uuid.uuid5(uuid.NAMESPACE_DNS, publisher.name))),
        ("Catalog Updated", fetched if publisher.fetched and publisher.enabled else "None"),
        ("Publisher enabled", "Yes" if publisher.enabled else "No"),
    ]


# -- set-publisher, unset-publisher ----------------------------------------------------------------------------


def set_(run: Run, words: Sequence[str]) -> int:
    given, names = run.options(words, "Pedk:c:O:G:g:M:m:p:", SET_LONG)
    if given.keys() & {"refused", "k", "c"}:
        raise PkgError(
            "lab: pkg set-publisher with keys, certificates, proxies or properties is not emulated"
        )
    _check_usage(run, given, names)
    if "p" in given:
        return _from_repository(run, given, names)
    try:
        _set(run, names[0], given)
    except PkgError as refused:
        # Nothing of this has a prefix; what pkg's own code refuses stands on a line of its own.
        text = str(refused)
        alone = text.startswith(("The origin URIs", "Unknown publisher", "lab: ", "\n"))
        raise PkgError(text if alone else f"\n{text}", refused.status, bare=True) from None
    return OK


APART = (
    *(("before", "after"), ("before", "P"), ("after", "P"), ("d", "e"), ("sticky", "non-sticky")),
    *(("O", letter) for letter in "gG"),
    *(("p", letter) for letter in "gmGMde"),
)
LONG_NAMES = {
    **{name: name for name in ("sticky", "non-sticky")},
    **{
        "before": "search-before",
        "after": "search-after",
        "P": "search-first",
        "d": "disable",
        "e": "enable",
    },
    **{"O": "origin-uri", "g": "add-origin", "G": "remove-origin", "m": "add-mirror", "M": "remove-mirror"},
    "p": "repo-uri",
}


def _check_usage(run: Run, given: dict[str, list[str]], names: Sequence[str]) -> None:
    for one, other in APART:
        if one in given and other in given:
            raise usage(
                run, f"The '--{LONG_NAMES[one]}' and '--{LONG_NAMES[other]}' options may not be combined."
            )
    if len(names) > 1 or (not names and "p" not in given):
        raise usage(
            run, "requires a publisher name" if not names else "only one publisher name may be specified"
        )


def _set(run: Run, name: str, given: dict[str, list[str]]) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise PkgError(f"'{name}' is not a valid publisher name.")
    with run.changing() as image:
        known = image.publisher(name)
        before = known.asked if known is not None else []
        _apply(run, image, name, given)
        now = image.publisher(name)
        if "no-refresh" not in given and now is not None and now.asked != before:
            if set(now.asked) - set(before):
                _check_origins(image, name)
            _fetched(run, image, [name], cached=bool(now.asked))
        image.save()


def _fetched(run: Run, image: Image, names: Sequence[str], *, cached: bool = True) -> None:
    image.refresh(names)
    for name in names:
        run.call.out(f" Startup: Refreshing catalog '{name}' ... Done\n")
    run.call.out(" Startup: Caching catalogs ... Done\n" if cached else "")


def _from_repository(run: Run, given: dict[str, list[str]], names: Sequence[str]) -> int:
    """`-p URI`: take names and origin from the repository."""
    asked = given["p"][-1]
    uri = absolute(run, asked)
    with run.changing() as image:
        wanted = _asked(image, asked, uri, names)
        said: dict[str, list[str]] = {"Added": [], "Updated": []}
        for name in wanted:
            known = image.publisher(name)
            new = known is None or uri not in known.origins
            said["Added" if known is None else "Updated"].append(name)
            _apply(run, image, name, {**given, "g": [uri]} if new else given)
        if "no-refresh" not in given:
            _fetched(run, image, wanted)
        image.save()
    lines = "".join(f"  {verb} publisher(s): {', '.join(found)}\n" for verb, found in said.items() if found)
    run.call.out(f"pkg set-publisher:\n{lines}")
    return OK


def _asked(image: Image, asked: str, uri: str, names: Sequence[str]) -> list[str]:
    """The publishers of a repository, or the one that was named, which must be among them."""
    source = image.shelves.served(uri)
    if source is None and urlsplit(uri).scheme in ("http", "https", "file"):
        is_file = urlsplit(uri).scheme == "file"
        said = trouble(image, uri) if is_file else indented(image, uri, asked="/versions/0/")
        raise PkgError(f"\n{said}")
    check_origin(image, "", uri)
    assert source is not None
    if names and names[0] not in source.publishers:
        raise PkgError(f"pkg: {_other_publishers(asked, names[0], source.publishers)}")
    return [names[0]] if names else list(source.publishers)


def _check_origins(image: Image, name: str) -> None:
    publisher = image.publisher(name)
    for uri in publisher.asked if publisher else []:
        check_origin(image, name, uri)


CHANGES_ONLY = {"G", "M", "m"}  # of a publisher that is there


def _apply(run: Run, image: Image, name: str, given: dict[str, list[str]]) -> None:
    publisher = image.publisher(name)
    if publisher is None:
        if not given.keys() & {"g", "O"} and given.keys() & CHANGES_ONLY:
            raise PkgError(f"Unknown publisher '{name}'.")
        publisher = Publisher(name)  # one without origins is allowed: what is installed may be of it
        image.publishers.append(publisher)
    switching = given.keys() & {"d", "e"}
    here = [absolute(run, uri) for uri in given.get("g", [])]
    if switching and "g" in given and all(uri in publisher.origins for uri in here):
        rest = [uri for uri in publisher.disabled if uri not in here]
        publisher.disabled = [*rest, *(here if "d" in given else [])]
        return
    if "O" in given:
        publisher.origins = [absolute(run, given["O"][-1])]
    _uris(run, publisher.mirrors, given.get("m", []), given.get("M", []), "mirror")
    _uris(run, publisher.origins, given.get("g", []), given.get("G", []), "origin")
    publisher.disabled = [uri for uri in publisher.disabled if uri in publisher.origins]
    if not publisher.origins:
        publisher.seen = (-1, 0)
    publisher.enabled = "e" in given or (publisher.enabled and "d" not in given)
    publisher.sticky = "sticky" in given or (publisher.sticky and "non-sticky" not in given)
    _rank(image, publisher, given)


def _uris(run: Run, have: list[str], add: Sequence[str], remove: Sequence[str], what: str) -> None:
    """Removals first: `-G '*' -g URI` replaces all."""
    if "*" in remove:
        have.clear()
    for uri in (absolute(run, each) for each in remove if "*" not in remove):
        if uri not in have:
            raise PkgError(f"Unknown repository {what} '{uri}'" + ("." if what == "mirror" else ""))
        have.remove(uri)
    for uri in (absolute(run, each) for each in add):
        if uri in have:
            raise PkgError(f"{what.capitalize()} '{uri}' already exists for the specified publisher.")
        have.append(uri)


def _slashed(uri: str) -> str:
    return uri if uri.endswith("/") else f"{uri}/"


def _rank(image: Image, publisher: Publisher, given: dict[str, list[str]]) -> None:
    for letter, offset in (("before", 0), ("after", 1)):
        if letter in given:
            other = image.publisher(given[letter][-1])
            if other is None:
                raise PkgError(
                    f"{given[letter][-1]} is an unknown publisher; no other publishers can be ordered relative to it."
                )
            if other is publisher:
                raise PkgError("Cannot search a repository before or after itself")
            image.publishers.remove(publisher)
            image.publishers.insert(image.publishers.index(other) + offset, publisher)
    if "P" in given:
        image.publishers.remove(publisher)
        image.publishers.insert(0, publisher)


def unset(run: Run, words: Sequence[str]) -> int:
    _, names = run.options(words, "", {})
    if not names:
        raise usage(run, "at least one publisher must be specified")
    with run.changing() as image:
        unknown = [name for name in names if image.publisher(name) is None]
        image.publishers = [each for each in image.publishers if each.name not in names]
        image.save()
    if not run.where.omnios:
        run.call.out(" Done\n")
    elif len(unknown) < len(names):
        run.call.out(" Startup: Updating package cache ... Startup: Caching catalogs ... Done\n Done\n")
    else:
        run.call.out(" Startup: Updating package cache ... Done\n")
    if not unknown:
        return OK
    text = "\n\n".join(f"Removal failed for '{name}': Unknown publisher '{name}'." for name in unknown)
    raise PkgError(f"\n{text}\n", OOPS if len(unknown) == len(names) else PARTIAL)
