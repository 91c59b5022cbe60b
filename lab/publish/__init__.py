"""What makes the site of the pages: Markdown blocks, overview pages, the MkDocs hook."""

from lab import GuideError


class PublishError(GuideError):
    """Something that is published cannot be made."""
