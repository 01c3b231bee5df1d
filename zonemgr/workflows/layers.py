"""Golden images as layers: the wanted set, its name, and the image to start from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageWish:
    """What an image is to hold, as it stood on the command line; lists are separated by whitespace."""

    brand: str = ""
    template: str = ""
    packages: str = ""
    remove_packages: str = ""
    publishers: str = ""  # NAME|URI, the first one seeds the image
    remove_publishers: str = ""  # NAME or NAME|URI

    @property
    def contents(self) -> bool:
        """Whether packages or publishers were asked for."""
        return any((self.packages, self.remove_packages, self.publishers, self.remove_publishers))
