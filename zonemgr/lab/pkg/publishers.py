"""pkg publisher, set-publisher, unset-publisher."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from zonemgr.lab.pkg.catalogue import Repository
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


def check_origin(image: Image, publisher: str, uri: str) -> None:
    """Is there a repository, and has it packages of this publisher (empty: any)? Raises PkgError."""
    scheme = urlsplit(uri).scheme
    if scheme not in ("http", "https", "file"):
        raise PkgError(
            f"The URI '{uri}' contains an unsupported scheme '{scheme}'."
            if scheme
            else f"'{uri}' is not a valid URI."
        )
    repository = image.shelves.served(uri)
    if repository is None:
        raise PkgError(_no_repository(image, publisher, uri))
    if publisher and repository.publisher != publisher:
        raise PkgError(
            f"The repository at {uri} does not contain package data for {publisher}; only {repository.publisher}.\n\n"
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


def _places(publisher: Publisher) -> list[tuple[str, str]]:
    found = [("origin", uri) for uri in publisher.origins] + [("mirror", uri) for uri in publisher.mirrors]
    return found or [("", "")]


def _tab_rows(publisher: Publisher) -> list[tuple[str, ...]]:
    flags = (str(publisher.sticky).lower(), "false", str(publisher.enabled).lower())
    return [
        (publisher.name, *flags, kind, "online" if uri else "", uri, "-" if uri else "")
        for kind, uri in _places(publisher)
    ]


def _rows(publisher: Publisher) -> list[tuple[str, ...]]:
    attributes = [] if publisher.sticky else ["non-sticky"]
    attributes += [] if publisher.enabled else ["disabled"]
    text = f"({', '.join(attributes)})" if attributes else ""
    return [
        (publisher.name, text, kind, "online" if uri else "", "F" if uri else "", uri)
        for kind, uri in _places(publisher)
    ]


def _details(run: Run, image: Image, names: Sequence[str]) -> int:
    for name in names:
        publisher = image.publisher(name)
        if publisher is None:
            raise PkgError(f"Unknown publisher '{name}'.")
        lines = ["", f"            Publisher: {name}", "                Alias: None"]
        for uri in publisher.origins:
            lines += [f"           Origin URI: {uri}", "        Origin Status: Online"]
        lines += [f"           Mirror URI: {uri}" for uri in publisher.mirrors]
        lines += [f"    Publisher enabled: {'Yes' if publisher.enabled else 'No'}"]
        run.call.out("".join(f"{line}\n" for line in lines))
    return OK


# -- set-publisher, unset-publisher ----------------------------------------------------------------------------


def set_(run: Run, words: Sequence[str]) -> int:
    given, names = run.options(words, "Pedk:c:O:G:g:M:m:p:", SET_LONG)
    if given.keys() & {"refused", "k", "c"}:
        raise PkgError(
            "lab: pkg set-publisher with keys, certificates, proxies or properties is not emulated"
        )
    if given.keys() & {"e", "d"} and given.keys() & {"g", "G"}:
        raise PkgError("lab: enabling or disabling single origins is not emulated")
    _check_usage(run, given, names)
    if "p" in given:
        return _from_repository(run, given, names)
    try:
        _set(run, names[0], given)
    except PkgError as refused:
        # pkg shows what its own code refuses on a line of its own, what the network says not.
        own = not str(refused).startswith(("The origin URIs", "lab: ", "\n"))
        raise PkgError(f"\n{refused}" if own else str(refused), refused.status) from None
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
        _apply(image, name, given)
        if "no-refresh" not in given:
            _check_origins(image, name)
            image.refresh([name])
        image.save()


def _from_repository(run: Run, given: dict[str, list[str]], names: Sequence[str]) -> int:
    """`-p URI`: take name and origin from the repository."""
    uri = given["p"][-1]
    with run.changing() as image:
        repository = _asked(image, uri, names)
        known = image.publisher(repository.publisher)
        new = known is None or not any(_slashed(each) == _slashed(uri) for each in known.origins)
        _apply(image, repository.publisher, {**given, "g": [uri]} if new else given)
        image.refresh([repository.publisher])
        image.save()
    verb = "Added" if known is None else "Updated"
    run.call.out(f"pkg set-publisher:\n  {verb} publisher(s): {repository.publisher}\n")
    return OK


def _asked(image: Image, uri: str, names: Sequence[str]) -> Repository:
    """The repository at an origin, which must have packages of the publisher named."""
    check_origin(image, names[0] if names else "", uri)
    repository = image.shelves.served(uri)
    assert repository is not None
    return repository


def _check_origins(image: Image, name: str) -> None:
    publisher = image.publisher(name)
    for uri in publisher.origins if publisher else []:
        check_origin(image, name, uri)


CHANGES_ONLY = {"G", "M", "m"}  # of a publisher that is there


def _apply(image: Image, name: str, given: dict[str, list[str]]) -> None:
    publisher = image.publisher(name)
    if publisher is None:
        if not given.keys() & {"g", "O"} and given.keys() & CHANGES_ONLY:
            raise PkgError(f"Unknown publisher '{name}'.")
        publisher = Publisher(name)  # one without origins is allowed: what is installed may be of it
        image.publishers.append(publisher)
    if "O" in given:
        publisher.origins = [_slashed(given["O"][-1])]
    _uris(publisher.mirrors, given.get("m", []), given.get("M", []), "mirror")
    _uris(publisher.origins, given.get("g", []), given.get("G", []), "origin")
    if not publisher.origins:
        publisher.seen = (-1, 0)
    publisher.enabled = "e" in given or (publisher.enabled and "d" not in given)
    publisher.sticky = "sticky" in given or (publisher.sticky and "non-sticky" not in given)
    _rank(image, publisher, given)


def _uris(have: list[str], add: Sequence[str], remove: Sequence[str], what: str) -> None:
    """Removals first: `-G '*' -g URI` replaces all."""
    for uri in remove:
        if uri == "*":
            have.clear()
        elif _slashed(uri) in have:
            have.remove(_slashed(uri))
        else:
            raise PkgError(f"Unknown repository {what} '{uri}'" + ("." if what == "mirror" else ""))
    for uri in add:
        if _slashed(uri) in have:
            raise PkgError(f"{what.capitalize()} '{uri}' already exists for the specified publisher.")
        have.append(_slashed(uri))


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
    if not unknown:
        return OK
    text = "".join(f"\nRemoval failed for '{name}': Unknown publisher '{name}'.\n" for name in unknown)
    raise PkgError(text, OOPS if len(unknown) == len(names) else PARTIAL)
