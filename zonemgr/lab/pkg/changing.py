"""pkg install, uninstall, update, refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zonemgr.lab.pkg import clients, environments, linked, publishers, showplan, tree
from zonemgr.lab.pkg import plan as planning
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.command import NOTHING, OK, OOPS, Run, usage
from zonemgr.lab.pkg.image import Image, Unretrievable
from zonemgr.lab.pkg.plan import UNLICENSED, PkgError, Plan
from zonemgr.lab.pkg.progress import Progress

Given = dict[str, list[str]]
Silent = dict[str, list[str]]

FLAGS = "sync-actuators no-be-activate deny-new-be require-new-be no-backup-be require-backup-be no-index"
COMMON = {
    **{name: name for name in FLAGS.split()},
    **{f"{name}=": name for name in ("sync-actuators-timeout", "be-name", "backup-be-name")},
    **{"parsable=": "parsable", "temp-be-activate": "t"},
}
INSTALLING = {
    **COMMON,
    "accept": "accept",
    "licenses": "licenses",
    "no-refresh": "no-refresh",
    "reject=": "reject",
}
LONG = {
    "install": INSTALLING,
    "update": {**INSTALLING, "ignore-missing": "ignore-missing"},
    "image-update": {**INSTALLING, "ignore-missing": "ignore-missing"},
    "uninstall": {**COMMON, "ignore-missing": "ignore-missing"},
}
LETTERS = {"install": "nvqrRtg:C:z:Z:", "uninstall": "nvqrRtC:z:Z:"}


def _read(run: Run, words: Sequence[str]) -> tuple[Given, list[str]]:
    given, patterns = run.options(words, LETTERS.get(run.name, "nvqfrRtg:C:z:Z:"), LONG[run.name])
    recursing = (
        "r" in given and run.live and run.call.zone is None
    )  # elsewhere there are no children to change
    if given.keys() & {"R", "t", "z", "Z"} or recursing:
        raise PkgError(f"lab: pkg {run.name} with -r, -R, -t, -z, -Z is not emulated")
    for one, other in (("v", "q"), ("v", "parsable"), ("q", "parsable")):
        if one in given and other in given:
            names = {"v": "-v", "q": "-q", "parsable": "--parsable"}
            raise usage(run, f"The '{names[one]}' and '{names[other]}' options may not be combined.")
    if not (given.get("C") or ["1"])[-1].isdigit():
        raise usage(run, f"value '{given['C'][-1]}' invalid: -C/--concurrency")
    environments.check_options(run, given)
    return given, patterns


def _needs_operand(run: Run, patterns: Sequence[str]) -> None:
    if not patterns:
        raise usage(run, "at least one package name required")


def install(run: Run, words: Sequence[str]) -> int:
    given, patterns = _read(run, words)
    _needs_operand(run, patterns)
    run.check_patterns(patterns)
    with run.changing(given) as image:
        linked.check_publishers(run, image)
        job = Job(run, image, given)
        job.fetch()
        rejects, verbose = given.get("reject", []), "v" in given
        return job.perform(
            lambda: planning.install(image, patterns, origins=job.origins(), rejects=rejects, verbose=verbose)
        )


def uninstall(run: Run, words: Sequence[str]) -> int:
    given, patterns = _read(run, words)
    _needs_operand(run, patterns)
    run.check_patterns(patterns)
    with run.changing() as image:
        linked.check_publishers(run, image)
        missing, verbose = "ignore-missing" in given, "v" in given
        return Job(run, image, given).perform(
            lambda: (planning.uninstall(image, patterns, ignore_missing=missing, verbose=verbose), [])
        )


def update(run: Run, words: Sequence[str]) -> int:
    given, patterns = _read(run, words)
    run.check_patterns(patterns)
    with run.changing(given) as image:
        linked.check_publishers(run, image)
        job = Job(run, image, given)
        job.fetch()
        if (not patterns or patterns == ["*"]) and "f" not in given:
            if clients.looked_at(image):
                job.progress.checking()
            if clients.outdated(run, image):
                run.call.out(clients.warning(run))
                return OOPS
        return job.perform(
            lambda: (
                planning.update(
                    image,
                    [] if patterns == ["*"] else patterns,
                    origins=job.origins(),
                    rejects=given.get("reject", []),
                    ignore_missing="ignore-missing" in given,
                    verbose="v" in given,
                ),
                [],
            )
        )


class Job:
    """One change of an image, from the catalogues to the last line of output."""

    def __init__(self, run: Run, image: Image, given: Given) -> None:
        self.run, self.image, self.given = run, image, given
        self.dry, self.quiet = "n" in given, "q" in given or "parsable" in given
        self.progress = Progress(
            run, quiet=self.quiet, verbose="v" in given, indexing="no-index" not in given
        )
        self.silent: Silent = {}  # by publisher, the origins that did not answer

    def fetch(self) -> None:
        """The catalogues. pkg goes on with what it knew when an origin does not answer, and warns at the end."""
        if "no-refresh" not in self.given:
            before = self.image.catalogues()
            self.silent = self.image.refresh()
            looked_at = [each.name for each in self.image.refreshed()]
            self.progress.refreshed(sorted(looked_at))
            if not looked_at or before != self.image.catalogues():
                self.progress.cached()

    def origins(self) -> list[str]:
        uris = [publishers.absolute(self.run, uri) for uri in self.given.get("g", [])]
        for uri in uris:
            publishers.check_origin(self.image, "", uri)
        self.image.temporary = uris
        self.progress.refreshed(self._new_publishers(uris))
        return uris

    def _new_publishers(self, uris: Sequence[str]) -> list[str]:
        """Those that are only known for this command."""
        sources = [self.image.shelves.served(uri) for uri in uris]
        names = {name for each in sources if each is not None for name in each.publishers}
        return sorted(name for name in names if self.image.publisher(name) is None)

    def perform(self, plan: Callable[[], tuple[Plan, list[str]]]) -> int:
        with self._warned():
            try:
                found, asked = plan()
            except PkgError as refused:
                if refused.setting_up is not None:
                    self.progress.refused(setting_up=refused.setting_up)
                raise
            self.progress.solved()
            self._gather(found)
            return self._finish(found, asked)

    @contextmanager
    def _warned(self) -> Iterator[None]:
        """Say at the end which repositories did not answer, unless it was one of them that stopped it."""
        try:
            yield
        except PkgError as refused:
            if self.silent and "Errors were encountered while" not in str(refused):
                self.run.call.out(publishers.warning(self.image, self.silent))
            raise
        if self.silent:
            self.run.call.out(publishers.warning(self.image, self.silent))

    def _gather(self, plan: Plan) -> None:
        """The manifests of all that is touched. To fetch one, pkg asks all origins whether they are there."""
        if not plan.nothing:
            self._fetch_manifests(plan)
            self.progress.merged()
            text = tree.conflicts(self.image, plan)
            if text:
                raise PkgError(f"\n{text}")
        self.progress.planned()

    def _fetch_manifests(self, plan: Plan) -> None:
        new = [*plan.add, *plan.new]
        fetched = [each for each in new if not self.image.has_manifest(each)]
        if fetched:
            self.silent |= self.image.silent()
        for package in [*plan.remove, *(old for old, _ in plan.change), *new]:
            lines = self.image.manifest(package)
            if lines is None or (package in new and self._is_unreachable(package)):
                self.progress.finding()
                raise PkgError(publishers.unretrievable(self.image, self._origin(package)))
            plan.manifests[package] = lines
        self.progress.manifests(len(fetched))

    def _is_unreachable(self, package: Package) -> bool:
        publisher = self.image.publisher(package.publisher)
        origins = publisher.asked if publisher is not None else []
        missing = self.silent.get(package.publisher, [])
        return bool(origins) and len(missing) == len(origins) and not self.image.has_manifest(package)

    def _origin(self, package: Package) -> str:
        publisher = self.image.publisher(package.publisher)
        uris = [*(publisher.asked if publisher is not None else []), *self.image.temporary]
        return uris[0] if uris else f"pkg://{package.publisher}/"

    def _finish(self, plan: Plan, asked: Sequence[str]) -> int:
        if plan.nothing:
            return self._nothing()
        choice = environments.choose(self.run, plan, self.given)
        if not self.dry:
            environments.check_emulated(self.run, choice)
        licences = plan.licences(self.image)
        if "parsable" in self.given:
            self.run.call.out(showplan.parsable(self.image, plan, choice, licences))
        elif not self.quiet:
            self.run.call.out(showplan.licences(licences, everything="licenses" in self.given))
            self.run.call.out(showplan.plan(self.run, plan, choice, verbose="v" in self.given))
        if self.dry:
            return OK
        unaccepted = [each for each in licences if each[3]]
        if unaccepted and "accept" not in self.given:
            raise PkgError(showplan.unaccepted(unaccepted), UNLICENSED)
        return self._carry_out(plan, choice, asked)

    def _nothing(self) -> int:
        if not self.dry:
            self.image.save()  # the catalogues may be newer
        if "parsable" in self.given:
            self.run.call.out(showplan.parsable(self.image, Plan(), environments.Choice(), []))
            return NOTHING
        word = "available" if self.run.name in ("update", "image-update") else "necessary"
        self.run.call.out("" if self.quiet else f"No updates {word} for this image.\n")
        return NOTHING

    def _carry_out(self, plan: Plan, choice: environments.Choice, asked: Sequence[str]) -> int:
        clients_change = any(each.name == clients.CLIENT for each in [*plan.add, *plan.new])
        try:
            environments.carry_out(
                self.run, self.image, plan, choice, list(asked), self.progress, quiet="q" in self.given
            )
        except tree.NoUserFiles as refused:
            raise PkgError(f"\npkg: {refused}") from None
        except Unretrievable as missing:
            raise PkgError(publishers.unretrievable(self.image, self._origin(missing.package))) from None
        if not self.quiet and self.run.name != "uninstall" and clients_change and plan.change:
            self.run.call.out(showplan.banner(self.run))
        return OK


def refresh(run: Run, words: Sequence[str]) -> int:
    given, names = run.options(words, "q", {"full": "full"})
    with run.changing() as image:
        unknown = [name for name in names if image.publisher(name) is None]
        if unknown:
            text = "".join(f"pkg: Unknown publisher '{name}'.\n" for name in unknown)
            raise PkgError(f"{text}pkg: 'pkg publisher' will show a list of publishers.")
        looked_at = sorted(each.name for each in image.refreshed(names))
        if "q" not in given:
            verb = "Retrieving" if "full" in given else "Refreshing"
            run.call.out("".join(f"{verb} catalog '{name}' ... Done\n" for name in looked_at))
        silent = image.refresh(names)
        image.save()
        if silent:
            raise publishers.not_refreshed(image, silent, len(looked_at))
        if "q" not in given and ("full" in given or not looked_at):
            run.call.out("Caching catalogs ... Done\n")
    return OK
