"""The few plain pages: what this is, the button behind a sign-in link; no script, nothing from another host."""

import hashlib
from base64 import b64encode
from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1rem;
  color: #1b1f24; background: #f6f7f9; }
main { background: #fff; border: 1px solid #d9dde3; border-radius: 8px; padding: 1.5rem 2rem; }
h1 { font-size: 1.3rem; margin-top: 0; }
button { font: inherit; padding: .6rem 1.4rem; border: 0; border-radius: 6px; background: #0b57d0; color: #fff;
  cursor: pointer; }
button:focus-visible { outline: 3px solid #8ab4f8; }
code { background: #eef0f3; padding: .1rem .3rem; border-radius: 4px; }
@media (prefers-color-scheme: dark) {
  body { color: #e4e7eb; background: #14171a; }
  main { background: #1d2126; border-color: #333a42; }
  code { background: #2a3037; }
  a { color: #8ab4f8; }
}
"""
STYLE_WIDE = (
    STYLE
    + """
body { max-width: 72rem; margin: 2rem auto; }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
details { border-top: 1px solid #d9dde3; padding: .35rem 0; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4rem; font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .4rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-top: 1px solid #d9dde3;
  overflow-wrap: anywhere; }
td ul { margin: 0; padding-left: 1.1rem; }
@media (prefers-color-scheme: dark) { details, th, td { border-color: #333a42; } }
"""
)


def _style_hash(style: str) -> str:
    """Return by what the policy knows a style."""
    return f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_style_hash(STYLE)} {_style_hash(STYLE_WIDE)}; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


def page(title: str, content: str, style: str = STYLE) -> str:
    """Return a whole page; `content` is HTML, escaped by the caller."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main><h1>{escape(title)}</h1>\n"
        f"{content}\n</main></body></html>\n"
    )


def page_wide(title: str, content: str) -> str:
    """Return a page with room for tables."""
    return page(title, content, STYLE_WIDE)


def home(venue: str) -> str:
    """Return the page at the root."""
    named = f"<p>Venue <code>{escape(venue)}</code>.</p>" if venue else "<p>The venue is still starting.</p>"
    return page(
        "Tidemark",
        "<p>A paper venue for perpetual futures: real quotes in, practice trades out, no real money anywhere.</p>"
        f"{named}"
        '<ul><li><a href="/ready">/ready</a>: is everything up?</li>'
        '<li><a href="/api/v1/market">/api/v1/market</a>: what is on offer</li>'
        '<li><a href="/api/v1/errors">/api/v1/errors</a>: what each error means</li>'
        '<li><a href="/api/v1/account">/api/v1/account</a>: your account, once signed in</li></ul>'
        '<p>The whole API: <a href="/docs">/docs</a>, and for programs <a href="/openapi.json">/openapi.json</a>.</p>',
    )


def verify(token: str, address: str) -> str:
    """Return the page behind a link: one button, because a mail scanner follows links but presses nothing."""
    whom = f"<p>You are about to sign in as <strong>{escape(address)}</strong>.</p>" if address else ""
    return page(
        "Sign in to Tidemark",
        f'{whom}<form method="post" action="/api/v1/auth/verify">'
        f'<input type="hidden" name="token" value="{escape(token, quote=True)}">'
        '<button type="submit">Sign in</button></form>'
        "<p>If you did not ask for this link, close the page; nothing has happened.</p>",
    )


def message(title: str, text: str) -> str:
    """Return a page that only says something."""
    return page(title, f'<p>{escape(text)}</p><p><a href="/">Tidemark</a></p>')
