"""The old addresses, `chapters/<topic>/`: each a page that leads to the topic's four.

Without JavaScript it links them; docs/assets/moved.js follows an old anchor to its new
place."""

from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, InclusionLevel

from lab.check.content import Topic, Tree

# those that had a page of their own before topics had four
TOPICS = (
    "event-loop", "clustering", "rate-limiting", "websockets", "rest-apis",
    "jwt", "architecture", "validation", "observability", "hardening",
)  # fmt: skip
# headings of the old page whose text is not a heading any more: part, anchor there; a
# heading that two topics had is named with its topic
RENAMED = {
    "why-and-when-not": ("index", "when-not"),
    "show-me": ("code", ""),
    "on-trial": ("claims", ""),
    "break-it": ("index", "broken-then-fixed"),
    "work-on-the-loop": ("index", "broken-then-fixed"),
    "ask-next": ("questions", ""),
    "practise": ("index", "next"),
    # clustering
    "leaving-under-load": ("code", "drain-an-http-server"),
    "listen-zero": ("questions", ""),
    "one-heavy-request": ("code", "heavy-work-on-a-pool-of-threads"),
    "the-query-of-death": ("index", "broken-then-fixed"),
    "the-worker-that-cannot-start": (
        "code", "supervisor-with-backoff-and-rolling-restart",
    ),
    # rate limiting
    "a-hundred-at-once": ("code", "an-atomic-counter"),
    "graphql-and-websockets": ("questions", "cost-based-limits"),
    "guessing-passwords": ("code", "login-with-limits-of-failures"),
    "slow-headers": ("code", "timeouts-for-slow-clients"),
    "x-forwarded-for": ("code", "trust-your-own-proxies"),
    # WebSockets
    "a-client-that-is-stopped": ("claims", "claim-keepalive-is-enough"),
    "a-client-that-stops-reading": ("claims", "claim-send-is-delivery"),
    "a-frame-of-two-bytes": ("index", "broken-then-fixed"),
    "a-page-on-another-site": ("claims", "claim-same-site-protects"),
    "a-restart": ("claims", "claim-every-message-arrives"),
    "authenticate": ("questions", "how-to-authenticate"),
    "idle-timeout": ("questions", "every-sixty-seconds"),
    "which-library": ("questions", "what-socket-io-adds"),
    "why-masked": ("questions", "handshake-and-mask"),
    # REST APIs
    "a-service-that-hangs": ("code", "calls-to-other-services"),
    "another-site-in-the-users-browser": ("code", "cors-for-named-origins"),
    "content-negotiation": ("questions", ""),
    "how-to-version": ("questions", "rename-a-field"),
    "somebody-elses-order-and-a-status-of-ones-own": (
        "code", "the-app-and-its-order",
    ),
    "sync-sqlite": ("code", "idempotency-key-and-order-in-one-transaction"),
    "twenty-at-once-with-one-key": ("claims", "claim-twenty-with-one-key"),
    "rest-apis#two-writers": ("code", "versions-with-if-match"),
    # JWT
    "a-flood-of-kids-and-jku": ("code", "keys-from-one-address"),
    "a-new-key": ("code", "rotate-keys"),
    "a-script-in-the-page-a-form-on-another-site": (
        "code", "configuration-and-the-whole-app",
    ),
    "a-stolen-refresh-token": ("code", "refresh-tokens-with-reuse-detection"),
    "forged-tokens-and-another-services": ("index", "broken-then-fixed"),
    "jku": ("questions", "key-from-the-header"),
    "limit-refresh": ("questions", "order-of-checks"),
    "payload-is-text": ("questions", ""),
    # architecture
    "a-role-in-the-body": ("code", "named-fields-instead-of-reqbody"),
    "architecture#two-writers": ("code", "a-transaction-that-is-serialisable-and-is-repeated"),
    "half-an-order": ("index", "broken-then-fixed"),
    "reads-and-the-domain": ("questions", "service-that-forwards"),
    "the-broker-is-away": ("code", "the-transactional-outbox"),
    "signature-first": ("questions", "order-of-checks"),
}  # fmt: skip
_NAMES = {
    "index": "the answer",
    "questions": "the questions",
    "claims": "the claims on trial",
    "code": "the code",
}


def places(topic: Topic) -> dict[str, tuple[str, str]]:
    """Part and anchor for each old anchor: those of the four pages, and the renamed."""
    found = {
        anchor: (part, anchor)
        for part in reversed(list(topic.pages))
        for anchor in topic.pages[part].anchors
    }
    here = {}
    for old, place in RENAMED.items():
        slug, _, anchor = old.rpartition("#")
        if slug in ("", topic.slug):
            here[anchor] = place
    return here | found


def pages(tree: Tree, config: MkDocsConfig) -> Iterator[File]:
    """A file for MkDocs at each old address whose topic is there."""
    for slug in TOPICS:
        if slug in tree.topics:
            text = page(tree.topics[slug])
            yield File.generated(
                config, f"chapters/{slug}.md", content=text,
                inclusion=InclusionLevel.NOT_IN_NAV,
            )  # fmt: skip


def page(topic: Topic) -> str:
    """The Markdown of the page at a topic's old address."""
    anchors: dict[str, list[str]] = {part: [] for part in topic.pages}
    for old, (part, new) in sorted(places(topic).items()):
        if part in anchors:
            anchors[part].append(old if old == new else f"{old}={new}")
    links = "\n".join(
        f"- [{_NAMES.get(part, part)}](../topics/{topic.slug}/{part}.md)"
        f'{{ data-anchors="{" ".join(anchors[part])}" }}'
        for part in topic.pages
    )
    return (
        f"---\ntitle: '{topic.title}: moved'\n"
        f"description: 'The page on {topic.title} has moved: to the answer, the "
        "questions, the claims on trial and the code.'\n"
        "search: { exclude: true }\nhide: [toc, navigation]\nscript: moved.js\n---\n\n"
        f"# {topic.title}: moved\n\nThis page is four pages now:\n\n{links}\n"
    )
